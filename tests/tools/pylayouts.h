/* Compiled for its debug information alone: the structures of CPython's headers, for layouts of builds that are not at hand. */
#define Py_BUILD_CORE 1
#include "Python.h"
#include "frameobject.h"
#if PY_VERSION_HEX >= 0x03080000
#include "internal/pycore_object.h"
#include "internal/pycore_pystate.h"
#endif
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_gc.h"
#include "internal/pycore_interp.h"
#endif
#if PY_VERSION_HEX >= 0x03090000
#include "internal/pycore_runtime.h"
#endif
#if PY_VERSION_HEX >= 0x03070000 && PY_VERSION_HEX < 0x03080000
#include "internal/pystate.h"
#include "internal/mem.h"
#endif
#if PY_VERSION_HEX >= 0x030b0000
#include "internal/pycore_dict.h"
#include "internal/pycore_frame.h"
#include "internal/pycore_code.h"
#endif

/* What the headers do not have: structures of obmalloc.c, gcmodule.c, dictobject.c, longobject.c and moduleobject.c, member by member
 * as those versions have them. */
#if PY_VERSION_HEX < 0x030c0000
struct pool_header {
    union { unsigned char *_padding; unsigned int count; } ref;
    unsigned char *freeblock;
    struct pool_header *nextpool, *prevpool;
    unsigned int arenaindex, szidx, nextoffset, maxnextoffset;
};
struct arena_object {
    size_t address;
    unsigned char *pool_address;
    unsigned int nfreepools, ntotalpools;
    struct pool_header *freepools;
    struct arena_object *nextarena, *prevarena;
};
#if PY_VERSION_HEX < 0x03000000
typedef struct { PyObject_HEAD PyObject *md_dict; } PyModuleObject;
#else
typedef struct { PyObject_HEAD PyObject *md_dict; void *md_def, *md_state; PyObject *md_weaklist, *md_name; } PyModuleObject;
#endif
#endif
#if PY_VERSION_HEX >= 0x03000000 && PY_VERSION_HEX < 0x030b0000
struct _dictkeysobject { Py_ssize_t dk_refcnt, dk_size; void *dk_lookup; Py_ssize_t dk_usable, dk_nentries; char dk_indices[]; };
#endif
#if PY_VERSION_HEX < 0x03070000
struct gc_generation { PyGC_Head head; int threshold, count; };
#endif
#if PY_VERSION_HEX < 0x03000000
struct _longobject { PyObject_VAR_HEAD unsigned short ob_digit[1]; };
#endif
