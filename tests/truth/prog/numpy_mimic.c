/* Objects that lie in memory as NumPy's do, for layouts of which no NumPy is at hand: -DMAJOR=1 or 2, -DWORDS=8 (1.16), 9 (1.20) or
 * 10 (1.22 and later). The structures are those that numpy/ndarraytypes.h of these versions documents; nothing here computes. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stddef.h>

typedef struct {
    PyObject_HEAD
    PyTypeObject *typeobj;
    char kind, type, byteorder, flag_byte;
    int type_num;
#if MAJOR == 1
    int elsize, alignment;
    void *subarray;
    PyObject *fields, *names;
    void *f;
    PyObject *metadata;
    void *c_metadata;
    Py_ssize_t hash;
#else
    uint64_t flags;
    Py_ssize_t elsize, alignment;
    PyObject *metadata;
    Py_ssize_t hash;
    void *reserved[2];
    /* what follows belongs to the classes of old */
    void *subarray;
    PyObject *fields, *names;
    void *c_metadata;
#endif
} Descr;

typedef struct {
    PyObject_HEAD
    char *data;
    int nd;
    Py_ssize_t *dimensions, *strides;
    PyObject *base;
    Descr *descr;
    int flags;
    PyObject *weakrefs;
    void *more[WORDS - 8 ? WORDS - 8 : 1];
} Array;

#if MAJOR == 1
enum { ROOT = sizeof(Descr) };
#else
enum { ROOT = offsetof(Descr, subarray) };
#endif

static PyTypeObject Root = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "numpy.dtype", .tp_basicsize = ROOT, .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE};
static PyTypeObject Class = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = MAJOR == 1 ? "numpy.dtype[any]" : "numpy.dtypes.AnyDType", .tp_basicsize = sizeof(Descr), .tp_flags = Py_TPFLAGS_DEFAULT};
static PyTypeObject Nd = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "numpy.ndarray", .tp_basicsize = sizeof(PyObject) + WORDS * sizeof(void *),
                          .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, .tp_weaklistoffset = offsetof(Array, weakrefs)};

/* dtype(letters, type_num, itemsize, objects, fields, names): letters are kind, type and byte order */
static PyObject *dtype(PyObject *self, PyObject *args)
{
    const char *letters;
    int num, size, objects;
    PyObject *fields, *names;
    (void)self;
    if (!PyArg_ParseTuple(args, "siiiOO", &letters, &num, &size, &objects, &fields, &names))
        return NULL;
    Descr *d = (Descr *)PyType_GenericAlloc(&Class, 0);
    d->typeobj = &PyFloat_Type;
    d->kind = letters[0];
    d->type = letters[1];
    d->byteorder = letters[2];
    d->type_num = num;
    d->elsize = size;
    d->alignment = size < 8 ? size : 8;
    d->hash = -1;
    if (MAJOR == 1)
        d->flag_byte = (char)(objects ? 0x3f : 0);
#if MAJOR == 2
    d->flags = objects ? 0x3f : 0;
#endif
    if (names != Py_None) {
        Py_INCREF(d->fields = fields);
        Py_INCREF(d->names = names);
    }
    return (PyObject *)d;
}

/* array(dtype, shape, strides, flags, base, offset, data): data are bytes, or a list of objects */
static PyObject *array(PyObject *self, PyObject *args)
{
    PyObject *descr, *shape, *strides, *base, *data;
    int flags, offset;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!O!iOiO", &descr, &PyTuple_Type, &shape, &PyTuple_Type, &strides, &flags, &base, &offset, &data))
        return NULL;
    Array *a = (Array *)PyType_GenericAlloc(&Nd, 0);
    a->nd = (int)PyTuple_GET_SIZE(shape);
    a->dimensions = a->nd ? malloc(2 * (size_t)a->nd * sizeof *a->dimensions) : NULL;
    a->strides = a->nd ? a->dimensions + a->nd : NULL;
    for (int i = 0; i < a->nd; i++) {
        a->dimensions[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(shape, i));
        a->strides[i] = PyLong_AsSsize_t(PyTuple_GET_ITEM(strides, i));
    }
    a->flags = flags;
    Py_INCREF(descr);
    a->descr = (Descr *)descr;
    if (base != Py_None) {
        Py_INCREF(a->base = base);
        a->data = ((Array *)base)->data + offset;
    } else if (PyList_Check(data)) {
        PyObject **at = malloc((size_t)PyList_GET_SIZE(data) * sizeof *at + 1);
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(data); i++)
            Py_INCREF(at[i] = PyList_GET_ITEM(data, i));
        a->data = (char *)at;
    } else {
        a->data = malloc((size_t)PyBytes_GET_SIZE(data) + 1);
        memcpy(a->data, PyBytes_AS_STRING(data), (size_t)PyBytes_GET_SIZE(data));
    }
    return (PyObject *)a;
}

static PyObject *where(PyObject *self, PyObject *a)
{
    (void)self;
    return PyLong_FromVoidPtr(((Array *)a)->data);
}

static PyMethodDef methods[] = {{"dtype", dtype, METH_VARARGS, NULL}, {"array", array, METH_VARARGS, NULL}, {"where", where, METH_O, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "mimic", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_mimic(void)
{
    Class.tp_base = &Root;
    if (PyType_Ready(&Root) || PyType_Ready(&Class) || PyType_Ready(&Nd))
        return NULL;
    return PyModule_Create(&def);
}
