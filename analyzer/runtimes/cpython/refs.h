/* Inside the cpython runtime: giving references. refs.c has the built-in layouts, extension.c what C types do beyond plain words. */
#ifndef HR_RUNTIMES_CPYTHON_REFS_H
#define HR_RUNTIMES_CPYTHON_REFS_H

#include "analyzer/runtimes/cpython/py.h"

struct hr_py_out {
    struct hr_py *py;
    hr_py_ref_fn *fn;
    void *ctx;
    uint64_t obj;
    uint64_t borrowed, unvisited; /* of its type */
    const uint64_t *seen;         /* bit n: the n-th word was visited; the other words were not. NULL: not known */
};

void hr_py_give(const struct hr_py_out *o, uint64_t target, uint64_t at, enum hr_py_ref kind, uint8_t surety);
/* The pointer-sized word at addr, 0 when it is not in the image. */
uint64_t hr_py_word_at(const struct hr_py *py, uint64_t addr);
/* n words from addr, each NULL or an object. Bounded by what lies together in the image. */
void hr_py_give_array(const struct hr_py_out *o, uint64_t addr, uint64_t n, uint8_t surety);
/* Words of [from, to) that are exactly objects; `skip` (two addresses) are not looked at. */
void hr_py_scan_words(const struct hr_py_out *o, uint64_t from, uint64_t to, const uint64_t skip[2]);
/* Bytes of the block that holds addr, from addr on; 0 when it is in none (static). */
uint64_t hr_py_block_left(const struct hr_py *py, uint64_t addr);

/* A keys table (3.x): entry i of `each` bytes lies at entries + i * each. False when it does not fit its block. */
struct hr_py_keys { uint64_t entries, n, each, key_off, value_off; };
bool hr_py_read_keys(const struct hr_py *py, uint64_t at, struct hr_py_keys *k);
/* Where an instance of a type with tp_dictoffset keeps its dict pointer; 0: no such place. */
uint64_t hr_py_dict_slot(const struct hr_py *py, uint64_t obj, const struct hr_py_type *t);

/* ---- buffers.c: array.array, memoryview, what it shows of, ctypes ---- */
void hr_py_buffer_refs(const struct hr_py_out *o, const struct hr_py_type *t);
/* What a frame record (3.11 on) counts: its function, code, locals and value stack. */
void hr_py_iframe_refs(struct hr_py *py, uint64_t frame, hr_py_ref_fn *fn, void *ctx);

/* What the reader for its kind knows of an object: the references, and up to where the object's own words are explained by them. */
void hr_py_kind_refs(const struct hr_py_out *o, const struct hr_py_type *t);
uint64_t hr_py_fixed_by_kind(const struct hr_py *py, const struct hr_py_type *t);

/* ---- interned.c ---- */
/* What the reference of the interned dict to one of its strings is: strong (of the key), or weak. */
enum hr_py_ref hr_py_interned_ref(const struct hr_py *py, uint64_t str);

/* ---- extension.c ---- */
enum hr_py_extension { HR_PX_NONE, HR_PX_ODICT, HR_PX_LRU_CACHE, HR_PX_ELEMENT, HR_PX_ELEMENT_ITERATOR, HR_PX_TEE, HR_PX_SIMPLE_QUEUE };
/* Sets t->extension and t->borrowed from the C type that t is or derives from. */
void hr_py_extension_of(const struct hr_py *py, struct hr_py_type *t);
void hr_py_extension_refs(const struct hr_py_out *o, const struct hr_py_type *t);
/* The references of a type object whose words end at `end`. */
void hr_py_type_refs(const struct hr_py_out *o, uint64_t end);
/* End of a frame object's own words (3.11 on): what follows is the frame that it may own. */
uint64_t hr_py_frame_end(const struct hr_py *py, uint64_t frame);

#endif
