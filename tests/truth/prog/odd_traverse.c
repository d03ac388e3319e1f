/* A Python extension whose types keep their references in every odd way that C allows, each with the tp_traverse for it. All are made of a
 * list of objects. Built at every optimisation level by tests/truth/test_py_odd_traverse.py, for 2.7 to 3.13. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stddef.h>

#define M(...) , __VA_ARGS__ /* another member */
#define TAKE(o) (Py_INCREF(o), (o))
#define NOINLINE __attribute__((noinline))
typedef PyObject *O;
static O at(O list, Py_ssize_t i) { return i < PyList_GET_SIZE(list) ? TAKE(PyList_GET_ITEM(list, i)) : NULL; }

#define TYPE_WITH(NAME, STRUCT, ITEMSIZE, MORE)                                                                                    \
    static PyTypeObject NAME##_Type = {PyVarObject_HEAD_INIT(NULL, 0).tp_name = "odd." #NAME, .tp_basicsize = sizeof(STRUCT),       \
        .tp_itemsize = ITEMSIZE, .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, .tp_new = NAME##_new,  \
        .tp_traverse = (traverseproc)NAME##_traverse, .tp_dealloc = gone, .tp_clear = nothing, MORE};
#define TYPE(NAME, STRUCT) TYPE_WITH(NAME, STRUCT, 0, .tp_doc = 0)
/* Nothing is ever given back: addresses stay what they were while the test looks at them. */
static void gone(O self) { (void)self; }
static int nothing(O self) { (void)self; return 0; }

#define NEW(NAME, STRUCT) static O NAME##_new(PyTypeObject *type, O args, O kw) { O l; (void)kw; \
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &l)) return NULL; \
    STRUCT *s = (STRUCT *)type->tp_alloc(type, 0); if (!s) return NULL; Py_ssize_t n = PyList_GET_SIZE(l); (void)n;
#define MADE return (O)s; }
#define VISITS(NAME, STRUCT) static int NAME##_traverse(STRUCT *s, visitproc visit, void *arg)

/* three fields, one of them behind numbers that look like nothing */
typedef struct { PyObject_HEAD O a; int x; double d; O b; char c; O e; } Straight;
NEW(Straight, Straight) s->a = at(l, 0); s->b = at(l, 1); s->e = at(l, 2); s->x = 7; s->d = 1.5; MADE
VISITS(Straight, Straight) { Py_VISIT(s->a); Py_VISIT(s->b); Py_VISIT(s->e); return 0; }
TYPE(Straight, Straight)

/* tags in the low bits: masked, subtracted, shifted out */
typedef struct { PyObject_HEAD uintptr_t a, b, c, d; } Tagged;
NEW(Tagged, Tagged) s->a = (uintptr_t)at(l, 0) | (n > 0); s->b = (uintptr_t)at(l, 1) | 5; s->c = n > 2 ? (uintptr_t)at(l, 2) + 2 : 0; s->d = (uintptr_t)at(l, 3) >> 3; MADE
VISITS(Tagged, Tagged)
{
    O o = (O)(s->a & ~(uintptr_t)1); Py_VISIT(o);
    o = (O)(s->b & ~(uintptr_t)7); Py_VISIT(o);
    if (s->c & 2) { o = (O)(s->c - 2); Py_VISIT(o); }
    o = (O)(s->d << 3); Py_VISIT(o);
    return 0;
}
TYPE(Tagged, Tagged)

/* behind a pointer: a field, and an array with a count that has room for more */
typedef struct { O attrib; Py_ssize_t n, room; O *items; O own[4]; } Extra;
typedef struct { PyObject_HEAD Extra *extra; O last; } Behind;
NEW(Behind, Behind)
    if (n > 1) {
        Extra *e = s->extra = PyMem_Malloc(sizeof *e);
        memset(e, 0x11, sizeof *e);
        e->attrib = at(l, 0); e->n = n - 1; e->room = 2 * n; e->items = n <= 5 ? e->own : PyMem_Malloc(2 * n * sizeof(O));
        for (Py_ssize_t i = 1; i < n; i++) e->items[i - 1] = i % 3 == 2 ? NULL : at(l, i);
    }
    s->last = at(l, n - 1); MADE
VISITS(Behind, Behind)
{
    Py_VISIT(s->last);
    if (s->extra) {
        Py_VISIT(s->extra->attrib);
        for (Py_ssize_t i = 0; i < s->extra->n; i++) Py_VISIT(s->extra->items[i]);
    }
    return 0;
}
TYPE(Behind, Behind)

/* counted in 32 bits, walked from the end; and one between two pointers, as C++'s vector has it */
typedef struct { PyObject_HEAD int n; O *items; O *begin, *end, *room; } Arrays;
NEW(Arrays, Arrays)
    s->n = (int)n; s->items = malloc((n + 3) * sizeof(O)); memset(s->items, 0x22, (n + 3) * sizeof(O));
    s->begin = s->end = malloc((n + 9) * sizeof(O));
    for (Py_ssize_t i = 0; i < n; i++) { s->items[i] = at(l, i); *s->end++ = at(l, n - 1 - i); }
    s->room = s->begin + n + 9; MADE
VISITS(Arrays, Arrays)
{
    for (int i = s->n; i-- > 0;) Py_VISIT(s->items[i]);
    for (O *p = s->begin; p != s->end; ++p) Py_VISIT(*p);
    return 0;
}
TYPE(Arrays, Arrays)

/* inline items, ob_size of them */
typedef struct { PyObject_VAR_HEAD O head; O item[1]; } Var;
static O Var_new(PyTypeObject *type, O args, O kw)
{
    O l; (void)kw;
    if (!PyArg_ParseTuple(args, "O!", &PyList_Type, &l)) return NULL;
    Py_ssize_t n = PyList_GET_SIZE(l);
    Var *s = (Var *)type->tp_alloc(type, n);
    if (!s) return NULL;
    s->head = at(l, 0);
    for (Py_ssize_t i = 0; i < n; i++) s->item[i] = at(l, i);
    return (O)s;
}
VISITS(Var, Var) { Py_ssize_t n = Py_SIZE(s); Py_VISIT(s->head); while (--n >= 0) Py_VISIT(s->item[n]); return 0; }
TYPE_WITH(Var, Var, sizeof(O), .tp_doc = 0)

/* a chain, and a ring through a head in the object */
typedef struct node { struct node *next; O key, value; } node;
typedef struct ring { struct ring *next, *prev; int flags; O o; } ring;
typedef struct { PyObject_HEAD node *first; ring head; } Chain;
NEW(Chain, Chain)
    node **to = &s->first; s->head.next = s->head.prev = &s->head;
    for (Py_ssize_t i = 0; i < n; i++) {
        node *c = PyMem_Malloc(sizeof *c); c->key = at(l, i); c->value = i & 1 ? at(l, 0) : NULL; *to = c; c->next = NULL; to = &c->next;
        ring *r = malloc(sizeof *r); r->o = at(l, i); r->flags = i & 1; r->next = &s->head; r->prev = s->head.prev; r->prev->next = r; s->head.prev = r;
    }
    MADE
VISITS(Chain, Chain)
{
    for (node *c = s->first; c; c = c->next) { Py_VISIT(c->key); Py_VISIT(c->value); }
    for (ring *r = s->head.next; r != &s->head; r = r->next) if (r->flags & 1) Py_VISIT(r->o);
    return 0;
}
TYPE(Chain, Chain)

/* rows of rows */
typedef struct { PyObject_HEAD short rows, cols; O **m; } Matrix;
NEW(Matrix, Matrix)
    s->rows = 3; s->cols = (short)n; s->m = malloc(3 * sizeof *s->m);
    for (int r = 0; r < 3; r++) { s->m[r] = malloc((n + 1) * sizeof(O)); for (Py_ssize_t i = 0; i < n; i++) s->m[r][i] = (i + r) % 2 ? at(l, i) : NULL; }
    MADE
VISITS(Matrix, Matrix) { for (int r = 0; r < s->rows; r++) for (int c = 0; c < s->cols; c++) Py_VISIT(s->m[r][c]); return 0; }
TYPE(Matrix, Matrix)

/* a ring buffer, by remainder and by mask */
typedef struct { PyObject_HEAD size_t put, n, room; O *items; unsigned put2, n2; O small[8]; } Buffer;
NEW(Buffer, Buffer)
    s->room = n + 3; s->items = malloc(s->room * sizeof(O)); memset(s->items, 0x33, s->room * sizeof(O)); s->put = s->room - 2; s->put2 = 6;
    for (Py_ssize_t i = 0; i < n; i++) { s->items[(s->put + s->n++) % s->room] = at(l, i); if (i < 5) s->small[(s->put2 + s->n2++) & 7] = at(l, i); }
    MADE
VISITS(Buffer, Buffer)
{
    for (size_t i = 0; i < s->n; i++) Py_VISIT(s->items[(s->put + i) % s->room]);
    for (unsigned i = 0; i < s->n2; i++) Py_VISIT(s->small[(s->put2 + i) & 7]);
    return 0;
}
TYPE(Buffer, Buffer)

/* what the words mean depends on a kind: a jump table */
typedef struct { PyObject_HEAD unsigned char kind; union { O o; double d; struct { O a, b; } two; struct { int n; O *v; } many; node *chain; intptr_t h; } u; } Kind;
NEW(Kind, Kind)
    s->kind = (unsigned char)(n % 8);
    switch (s->kind) {
    case 0: s->u.h = (intptr_t)l; break; /* a number that is an address */
    case 1: s->u.o = at(l, 0); break;
    case 2: s->u.two.a = at(l, 0); s->u.two.b = at(l, 1); break;
    case 3: s->u.many.n = 3; s->u.many.v = malloc(24); for (int i = 0; i < 3; i++) s->u.many.v[i] = at(l, i); break;
    case 4: s->u.chain = malloc(sizeof(node)); s->u.chain->next = NULL; s->u.chain->key = at(l, 0); s->u.chain->value = at(l, 1); break;
    case 5: s->u.d = 3.25; break;
    case 6: s->u.two.a = NULL; s->u.two.b = at(l, 5); break;
    default: s->u.o = at(l, 6); break;
    }
    MADE
VISITS(Kind, Kind)
{
    switch (s->kind) {
    case 0: return 0;
    case 1: Py_VISIT(s->u.o); break;
    case 2: Py_VISIT(s->u.two.a); Py_VISIT(s->u.two.b); break;
    case 3: for (int i = 0; i < s->u.many.n; i++) Py_VISIT(s->u.many.v[i]); break;
    case 4: Py_VISIT(s->u.chain->key); Py_VISIT(s->u.chain->value); break;
    case 5: break;
    case 6: Py_VISIT(s->u.two.b); break;
    default: return s->u.o ? visit(s->u.o, arg) : 0;
    }
    return 0;
}
TYPE(Kind, Kind)

/* helpers: handed a member, a struct by value, a callback of their own around the collector's */
typedef struct { O a, b; long n; } Pair;
typedef struct { PyObject_HEAD Pair p, q; Pair *more; } Helped;
typedef struct { visitproc visit; void *arg; long seen; } wrap;
static NOINLINE int pair_visit(const Pair *p, visitproc visit, void *arg) { Py_VISIT(p->a); Py_VISIT(p->b); return 0; }
static NOINLINE int by_value(Pair p, void *arg, visitproc visit) { Py_VISIT(p.b); Py_VISIT(p.a); return 0; }
static int counting(O o, void *w) { wrap *x = w; x->seen++; return x->visit(o, x->arg); }
static NOINLINE int each(O *from, int n, visitproc visit, void *arg) { for (int i = 0; i < n; i++) Py_VISIT(from[i]); return 0; }
NEW(Helped, Helped) s->p.a = at(l, 0); s->p.b = at(l, 1); s->q.a = at(l, 2); s->q.b = at(l, 3); s->more = malloc(sizeof(Pair)); s->more->a = at(l, 4); s->more->b = at(l, 5); s->more->n = 2; MADE
VISITS(Helped, Helped)
{
    int r = pair_visit(&s->p, visit, arg);
    if (r) return r;
    if ((r = by_value(s->q, arg, visit))) return r;
    wrap w = {visit, arg, 0};
    return each(&s->more->a, (int)s->more->n, counting, &w);
}
TYPE(Helped, Helped)

/* upon another type: calls its traverse by way of the type, as Cython does */
typedef struct { Straight base; O more; O *v; } Derived;
static PyTypeObject Derived_Type;
NEW(Derived, Derived) s->base.a = at(l, 0); s->base.e = at(l, 1); s->more = at(l, 2); s->v = malloc(8); *s->v = at(l, 3); MADE
static PyTypeObject *base_of_derived = &Straight_Type;
VISITS(Derived, Derived)
{
    int e = base_of_derived ? (base_of_derived->tp_traverse ? base_of_derived->tp_traverse((O)s, visit, arg) : 0) : -1;
    if (e) return e;
    Py_VISIT(s->more);
    return *s->v ? visit(*s->v, arg) : 0;
}
TYPE_WITH(Derived, Derived, 0, .tp_base = &Straight_Type)

/* upon built-in ones */
typedef struct { PyListObject base; O tag; } ListPlus;
static O ListPlus_new(PyTypeObject *type, O args, O kw) { ListPlus *s = (ListPlus *)PyList_Type.tp_new(type, args, kw); O l = PyTuple_GET_ITEM(args, 0); s->tag = at(l, 0); return (O)s; }
VISITS(ListPlus, ListPlus) { Py_VISIT(s->tag); return PyList_Type.tp_traverse((O)s, visit, arg); }
TYPE_WITH(ListPlus, ListPlus, 0, .tp_base = &PyList_Type)

/* a hash table with a mark for what was removed */
typedef struct { Py_ssize_t hash; O key, value; } Entry;
typedef struct { PyObject_HEAD Py_ssize_t mask, used; Entry *table; } Hash;
static char removed;
NEW(Hash, Hash)
    s->mask = 31; s->table = calloc(32, sizeof(Entry));
    for (Py_ssize_t i = 0; i < n && i < 32; i++) { Entry *e = &s->table[(i * 7) & 31]; e->hash = i; e->key = i % 4 == 3 ? (O)(void *)&removed : at(l, i); e->value = i % 4 == 3 ? NULL : at(l, n - 1 - i); s->used++; }
    MADE
VISITS(Hash, Hash)
{
    Py_ssize_t left = s->used;
    for (Entry *e = s->table; left > 0; e++) {
        if (!e->key) continue;
        left--;
        if (e->key == (O)(void *)&removed) continue;
        Py_VISIT(e->key); Py_VISIT(e->value);
    }
    return 0;
}
TYPE(Hash, Hash)

/* a tree, by recursion */
typedef struct tree { struct tree *kid[2]; O o; } tree;
typedef struct { PyObject_HEAD tree *root; } Tree;
NEW(Tree, Tree)
    for (Py_ssize_t i = 0; i < n; i++) { tree *t = calloc(1, sizeof *t), **to = &s->root; t->o = at(l, i); for (uintptr_t k = i * 2654435761u; *to; k >>= 1) to = &(*to)->kid[k & 1]; *to = t; }
    MADE
static int tree_visit(const tree *t, visitproc visit, void *arg) { int r; if (!t) return 0; if ((r = tree_visit(t->kid[0], visit, arg)) || (r = tree_visit(t->kid[1], visit, arg))) return r; Py_VISIT(t->o); return 0; }
VISITS(Tree, Tree) { return tree_visit(s->root, visit, arg); }
TYPE(Tree, Tree)

/* pointers that are not stored as such: distance from a base, mangled with a key, cut to 32 bits, and places told by a set of bits */
typedef struct { PyObject_HEAD char *base; int32_t far[4]; uintptr_t mangled, key; uint64_t which; O place[64]; } Hidden;
NEW(Hidden, Hidden)
    s->base = (char *)PyList_GET_ITEM(l, 0); s->key = 0x5a5a1234beefu;
    for (int i = 0; i < 4 && i < n; i++) { O o = PyList_GET_ITEM(l, i); ptrdiff_t d = ((char *)o - s->base) >> 3; if (d == (int32_t)d) { Py_INCREF(o); s->far[i] = (int32_t)d; } }
    if (n > 4) s->mangled = (uintptr_t)at(l, 4) ^ s->key;
    for (Py_ssize_t i = 0; i < n && i < 20; i++) { s->place[i * 3] = at(l, i); s->which |= 1ull << i * 3; }
    for (int i = 1; i < 60; i += 3) s->place[i] = (O)(void *)l; /* left there, and no reference */
    MADE
VISITS(Hidden, Hidden)
{
    for (int i = 1; i < 4; i++) if (s->far[i]) { O o = (O)(s->base + ((ptrdiff_t)s->far[i] << 3)); Py_VISIT(o); }
    if (s->mangled) { O o = (O)(s->mangled ^ s->key); Py_VISIT(o); }
    for (uint64_t w = s->which; w; w &= w - 1) Py_VISIT(s->place[__builtin_ctzll(w)]);
    return 0;
}
TYPE(Hidden, Hidden)

/* a copy of a struct is walked, as an iterator would be; written to memory on the way */
typedef struct { O *at, *end; long step; visitproc visit; void *arg; } walk;
typedef struct { PyObject_HEAD walk start; O inl[6]; long visits; } Walk;
static NOINLINE O next_of(walk *w) { if (w->at >= w->end) return NULL; O o = *w->at; w->at += w->step; return o; }
NEW(Walk, Walk) for (Py_ssize_t i = 0; i < 6 && i < n; i++) s->inl[i] = at(l, i); s->start.at = s->inl; s->start.end = s->inl + (n < 6 ? n : 6); s->start.step = 2; MADE
VISITS(Walk, Walk)
{
    walk w = s->start;
    w.visit = visit; w.arg = arg;
    s->visits++;
    O o;
    while ((o = next_of(&w))) { int r = w.visit(o, w.arg); if (r) return r; }
    return 0;
}
TYPE(Walk, Walk)

/* with a dict and weak references of its own; one reference that it forgets to show */
typedef struct { PyObject_HEAD O dict, weak, shown, hidden; } Forgetful;
NEW(Forgetful, Forgetful) s->shown = at(l, 0); s->hidden = at(l, 1); MADE
VISITS(Forgetful, Forgetful) { Py_VISIT(s->dict); Py_VISIT(s->shown); return 0; }
TYPE_WITH(Forgetful, Forgetful, 0, .tp_dictoffset = offsetof(Forgetful, dict) M(.tp_weaklistoffset = offsetof(Forgetful, weak)) M(.tp_getattro = PyObject_GenericGetAttr) M(.tp_setattro = PyObject_GenericSetAttr))

/* not always the collector's business */
typedef struct { PyObject_HEAD O a; int never; } Pinned;
static int pinned_is_gc(O self) { return !((Pinned *)self)->never; }
NEW(Pinned, Pinned) s->a = at(l, 0); s->never = n & 1; MADE
VISITS(Pinned, Pinned) { Py_VISIT(s->a); return 0; }
TYPE_WITH(Pinned, Pinned, 0, .tp_is_gc = pinned_is_gc)

/* long: more references than any small number of steps */
typedef struct { PyObject_HEAD size_t n; O *v; } Long;
NEW(Long, Long) s->n = 50000; s->v = malloc(s->n * sizeof(O)); for (size_t i = 0; i < s->n; i++) s->v[i] = at(l, i % n); MADE
VISITS(Long, Long) { for (size_t i = 0; i < s->n; i++) Py_VISIT(s->v[i]); return 0; }
TYPE(Long, Long)

#if PY_VERSION_HEX >= 0x03090000
/* a heap type: shows its type, too */
typedef struct { PyObject_HEAD O a; } Heap;
NEW(Heap, Heap) s->a = at(l, 0); MADE
VISITS(Heap, Heap) { Py_VISIT(Py_TYPE(s)); Py_VISIT(s->a); return 0; }
static PyType_Slot heap_slots[] = {{Py_tp_new, Heap_new}, {Py_tp_traverse, Heap_traverse}, {Py_tp_dealloc, gone}, {Py_tp_clear, nothing}, {0, NULL}};
static PyType_Spec heap_spec = {"odd.Heap", sizeof(Heap), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE, heap_slots};
#endif
#if PY_VERSION_HEX >= 0x030c0000
/* attributes where the interpreter keeps them */
typedef struct { PyObject_HEAD O a; } Managed;
NEW(Managed, Managed) s->a = at(l, 0); MADE
#if PY_VERSION_HEX >= 0x030d0000
VISITS(Managed, Managed) { Py_VISIT(Py_TYPE(s)); Py_VISIT(s->a); return PyObject_VisitManagedDict((O)s, visit, arg); }
#else
VISITS(Managed, Managed) { Py_VISIT(Py_TYPE(s)); Py_VISIT(s->a); return _PyObject_VisitManagedDict((O)s, visit, arg); }
#endif
static PyType_Slot managed_slots[] = {{Py_tp_new, Managed_new}, {Py_tp_traverse, Managed_traverse}, {Py_tp_dealloc, gone}, {Py_tp_clear, nothing}, {0, NULL}};
static PyType_Spec managed_spec = {"odd.Managed", sizeof(Managed), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_MANAGED_DICT, managed_slots};
#endif

static PyTypeObject *types[] = {&Straight_Type, &Tagged_Type, &Behind_Type, &Arrays_Type, &Var_Type, &Chain_Type, &Matrix_Type, &Buffer_Type, &Kind_Type, &Helped_Type,
                                &Derived_Type, &ListPlus_Type, &Hash_Type, &Tree_Type, &Hidden_Type, &Walk_Type, &Forgetful_Type, &Long_Type, &Pinned_Type};

static O fill(O m)
{
    for (size_t i = 0; m && i < sizeof types / sizeof *types; i++)
        if (PyType_Ready(types[i]) < 0 || PyModule_AddObject(m, strchr(types[i]->tp_name, '.') + 1, TAKE((O)types[i])) < 0)
            return NULL;
#if PY_VERSION_HEX >= 0x03090000
    if (m && PyModule_AddObject(m, "Heap", PyType_FromSpec(&heap_spec)) < 0)
        return NULL;
#endif
#if PY_VERSION_HEX >= 0x030c0000
    if (m && PyModule_AddObject(m, "Managed", PyType_FromSpec(&managed_spec)) < 0)
        return NULL;
#endif
    return m;
}

#if PY_MAJOR_VERSION < 3
PyMODINIT_FUNC initodd(void) { fill(Py_InitModule("odd", NULL)); }
#else
static struct PyModuleDef def = {PyModuleDef_HEAD_INIT, "odd", NULL, -1, NULL, NULL, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit_odd(void) { return fill(PyModule_Create(&def)); }
#endif
