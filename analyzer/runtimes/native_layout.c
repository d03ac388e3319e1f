/* Types compiled to pointer maps. Flattening walks structs with an explicit stack; arrays stay one operation. */
#include "analyzer/runtimes/native_layout.h"

#include <stdlib.h>

enum {
    MAX_OPS_TYPE = 1 << 16, /* pointers of one struct; the kernel's largest has about 2,000 */
    MAX_OPS = 64 << 20,
    MAX_TODO = 4096,        /* members pending while one type is flattened, one level holds at most its own */
    DEPTH = 32,             /* arrays within arrays of structs, followed by offset */
};
HR_VEC(layoutvec, struct hr_layout)

struct hr_layouts {
    struct hr_map by_type;   /* stripped type -> index into v, or NOTHING */
    struct layoutvec v;
    struct hr_layopvec ops;
};
enum { NOTHING = 0xfffffffe };

enum hr_status hr_layouts_create(struct hr_native *n, struct hr_layouts **ret)
{
    (void)n;
    struct hr_layouts *l = hr_zalloc(1, sizeof *l);
    if (!l)
        return HR_NOMEM;
    hr_map_init(&l->by_type, HR_MAX_TYPES);
    l->v.max = HR_MAX_TYPES;
    l->ops.max = MAX_OPS;
    *ret = l;
    return HR_OK;
}

void hr_layouts_destroy(struct hr_layouts *l)
{
    if (!l)
        return;
    hr_map_deinit(&l->by_type);
    layoutvec_deinit(&l->v);
    hr_layopvec_deinit(&l->ops);
    hr_free(l);
}

static const struct hr_type_row *bare(const struct hr_native *n, hr_type t)
{
    return hr_type_get(n->types, hr_type_strip(n->types, t));
}
bool hr_type_is_char(const struct hr_native *n, hr_type t)
{
    uint8_t k = bare(n, t)->kind;
    return k == HR_T_CHAR || k == HR_T_WCHAR;
}
bool hr_type_is_scalar(const struct hr_native *n, hr_type t)
{
    uint8_t k = bare(n, t)->kind;
    return (k >= HR_T_BOOL && k <= HR_T_REF) || k == HR_T_MEMBERPTR;
}
bool hr_type_is_struct(const struct hr_native *n, hr_type t)
{
    uint8_t k = bare(n, t)->kind;
    return k == HR_T_STRUCT || k == HR_T_UNION;
}

/* ---- compiling ---- */

struct part {
    hr_type type;
    uint32_t off;
    uint8_t flags;
    bool flex;
};
struct flatten {
    struct hr_native *n;
    struct part todo[MAX_TODO];
    uint32_t ntodo;
    struct hr_layopvec *ops;
    uint32_t op0;
    uint32_t fuel;
};

static void put(struct flatten *f, struct hr_layop op)
{
    if (f->ops->n - f->op0 < MAX_OPS_TYPE && hr_layopvec_push(f->ops, op) != HR_OK)
        f->ntodo = 0;
}

static void later(struct flatten *f, hr_type type, uint64_t off, uint8_t flags, bool flex)
{
    if (f->ntodo < MAX_TODO && off < UINT32_MAX)
        f->todo[f->ntodo++] = (struct part){type, (uint32_t)off, flags, flex};
}

/* May elements of this type hold pointers? Scalars but pointers do not; structs are looked at when they are needed. */
static bool worth(const struct hr_native *n, hr_type t)
{
    uint8_t k = bare(n, t)->kind;
    return k == HR_T_PTR || k == HR_T_REF || k == HR_T_STRUCT || k == HR_T_UNION || k == HR_T_ARRAY;
}

static void members(struct flatten *f, const struct part *p, const struct hr_type_row *row)
{
    uint8_t flags = p->flags | (row->kind == HR_T_UNION ? HR_LOF_UNION : 0);
    for (uint32_t i = row->nfields; i-- > 0;) {
        const struct hr_field *fi = &f->n->types->fields.v[row->field0 + i];
        if (fi->flags & HR_FF_VIRTUAL) {
            put(f, (struct hr_layop){.off = p->off, .kind = HR_LOP_VBASE, .flags = flags, .type = fi->type, .count = i});
        } else if (!(fi->flags & HR_FF_BITFIELD) && worth(f->n, fi->type)) {
            later(f, fi->type, (uint64_t)p->off + fi->off, flags, fi->flags & HR_FF_FLEX);
        }
    }
}

static void flatten_one(struct flatten *f, const struct part *p)
{
    hr_type t = hr_type_strip(f->n->types, p->type);
    const struct hr_type_row *row = hr_type_get(f->n->types, t);
    if (row->kind == HR_T_PTR || row->kind == HR_T_REF) {
        put(f, (struct hr_layop){.off = p->off, .kind = HR_LOP_PTR, .flags = p->flags,
                                 .type = hr_type_strip(f->n->types, row->target)});
    } else if (row->kind == HR_T_ARRAY) {
        const struct hr_type_row *el = bare(f->n, row->target);
        if (worth(f->n, row->target) && el->size && el->size < UINT32_MAX && row->count < UINT32_MAX &&
            (row->count || p->flex))
            put(f, (struct hr_layop){.off = p->off, .kind = HR_LOP_ARR, .flags = p->flags,
                                     .type = hr_type_strip(f->n->types, row->target),
                                     .count = p->flex ? 0 : (uint32_t)row->count, .stride = (uint32_t)el->size});
    } else if (row->kind == HR_T_STRUCT || row->kind == HR_T_UNION) {
        struct hr_layop ops[8];
        hr_type inl = 0;
        uint32_t ioff = 0;
        int k = hr_cxx_container(f->n, t, ops, 8, &inl, &ioff);
        for (int i = 0; i < k; i++) {
            ops[i].off += p->off;
            ops[i].flags |= p->flags;
            put(f, ops[i]);
        }
        if (k >= 0 && inl)
            later(f, inl, (uint64_t)p->off + ioff, p->flags, false);
        if (k < 0 && row->flags & HR_TF_DECLARATION)
            put(f, (struct hr_layop){.off = p->off, .kind = HR_LOP_UNKNOWN, .flags = p->flags});
        else if (k < 0)
            members(f, p, row);
    }
}

static int by_off(const void *a, const void *b)
{
    const struct hr_layop *x = a, *y = b;
    if (x->off != y->off)
        return x->off < y->off ? -1 : 1;
    return x->kind != y->kind ? x->kind - y->kind : x->type < y->type ? -1 : x->type > y->type;
}

static uint32_t compile(struct hr_native *n, hr_type t)
{
    struct hr_layouts *l = n->layouts;
    struct flatten *f = hr_alloc(sizeof *f);
    if (!f)
        return NOTHING;
    f->n = n;
    f->ntodo = 0;
    f->ops = &l->ops;
    f->op0 = (uint32_t)l->ops.n;
    f->fuel = 4 * MAX_OPS_TYPE;
    later(f, t, 0, 0, false);
    while (f->ntodo && f->fuel--) {
        struct part p = f->todo[--f->ntodo];
        flatten_one(f, &p);
    }
    struct hr_layout lay = {.type = t, .op0 = f->op0, .nops = (uint32_t)(l->ops.n - f->op0), .size = bare(n, t)->size};
    hr_free(f);
    struct hr_layop *ops = l->ops.v + lay.op0;
    if (lay.nops > 1)
        qsort(ops, lay.nops, sizeof *ops, by_off);
    for (uint32_t i = 0; i < lay.nops; i++) {
        uint32_t w = n->img->word;
        lay.unaligned |= ops[i].off % w || (ops[i].kind == HR_LOP_ARR && ops[i].stride % w);
    }
    if (!lay.nops || layoutvec_push(&l->v, lay) != HR_OK)
        return NOTHING;
    return (uint32_t)l->v.n - 1;
}

const struct hr_layout *hr_layout(struct hr_native *n, hr_type type)
{
    struct hr_layouts *l = n->layouts;
    hr_type t = hr_type_strip(n->types, type);
    if (!t)
        return NULL;
    uint32_t i = hr_map_get(&l->by_type, t);
    if (i == HR_NONE) {
        i = compile(n, t);
        if (hr_map_put(&l->by_type, t, i) != HR_OK)
            return NULL;
    }
    return i == NOTHING ? NULL : &l->v.v[i];
}

const struct hr_layop *hr_layout_ops(const struct hr_native *n, const struct hr_layout *l)
{
    return n->layouts->ops.v + l->op0;
}

/* ---- asking ---- */

/* Does operation o say something about the word `in` bytes behind its start? */
static int covers(const struct hr_native *n, const struct hr_layop *o, uint64_t in, bool nearest)
{
    unsigned w = n->img->word;
    int plain = o->flags & HR_LOF_UNION ? HR_PTR_MAYBE : HR_PTR_TYPED;
    switch (o->kind) {
    case HR_LOP_ARR:
        return !o->count || in < (uint64_t)o->count * o->stride ? plain : HR_PTR_NO;
    case HR_LOP_VECTOR:
    case HR_LOP_TREE:
        return in < 3 * w ? plain : HR_PTR_NO;
    case HR_LOP_LIST:
        return in < 2 * w ? plain : HR_PTR_NO;
    case HR_LOP_DEQUE:
        return in < 10 * w && in != w ? plain : HR_PTR_NO;
    case HR_LOP_HASH: /* buckets, first node, the single bucket */
        return !in || in == 2 * w || in == 6 * w ? plain : HR_PTR_NO;
    case HR_LOP_UNKNOWN:
        return nearest ? HR_PTR_MAYBE : HR_PTR_NO;
    case HR_LOP_VARIANT:
    case HR_LOP_MAYBE:
    case HR_LOP_CALLABLE:
        return o->aux > 0 && in < (uint64_t)o->aux ? HR_PTR_MAYBE : HR_PTR_NO;
    case HR_LOP_VBASE:
        return HR_PTR_NO;
    default:
        return in ? HR_PTR_NO : plain;
    }
}

/* The operation that covers offset `off`: unions put several at one place, containers span a few words. */
static const struct hr_layop *find_op(const struct hr_native *n, const struct hr_layop *ops, uint32_t nops, uint64_t off,
                                      int *kind_ret)
{
    uint32_t lo = 0, hi = nops;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (ops[mid].off <= off)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (uint32_t back = 0; lo-- > 0 && back < 16; back++) {
        *kind_ret = covers(n, &ops[lo], off - ops[lo].off, !back);
        if (*kind_ret)
            return &ops[lo];
    }
    return NULL;
}

int hr_layout_ptr(struct hr_native *n, hr_type type, uint64_t off)
{
    bool maybe = false;
    for (int depth = 0; depth < DEPTH; depth++) {
        hr_type t = hr_type_strip(n->types, type);
        const struct hr_type_row *row = hr_type_get(n->types, t);
        if (row->kind == HR_T_ARRAY) { /* a block that is an array: any of its elements */
            uint64_t el = bare(n, row->target)->size;
            if (!el)
                return HR_PTR_NO;
            type = row->target;
            off %= el;
            continue;
        }
        const struct hr_layout *l = hr_layout(n, t);
        int kind = HR_PTR_NO;
        const struct hr_layop *o = l ? find_op(n, hr_layout_ops(n, l), l->nops, off, &kind) : NULL;
        if (!o)
            return HR_PTR_NO;
        maybe |= kind == HR_PTR_MAYBE;
        if (o->kind != HR_LOP_ARR)
            return maybe ? HR_PTR_MAYBE : kind;
        off = (off - o->off) % o->stride;
        type = o->type;
    }
    return HR_PTR_NO;
}

uint64_t hr_layout_cookie(struct hr_native *n, hr_type type, uint64_t addr, uint64_t size)
{
    const struct hr_type_row *row = bare(n, type);
    uint64_t w = n->img->word, el = row->kind == HR_T_ARRAY ? bare(n, row->target)->size : 0, count;
    if (!el || size < w || !hr_type_is_struct(n, row->target) || !hr_image_word(n->img, addr, &count))
        return 0;
    /* Itanium ABI: new T[n] keeps n in the word before the first element when T has a destructor. */
    uint64_t left = size - w;
    return count && count <= left / el && left - count * el < 2 * w + 8 && (size / el) * el + 2 * w < size + el &&
                   hr_type_get(n->types, hr_type_strip(n->types, row->target))->flags & HR_TF_CXX
               ? w
               : 0;
}

void hr_layout_unaligned(struct hr_native *n, hr_type type, uint64_t addr, uint64_t size, struct hr_edgebuf *out)
{
    const struct hr_type_row *row = bare(n, type);
    hr_type el = row->kind == HR_T_ARRAY ? row->target : type;
    const struct hr_layout *l = hr_layout(n, el);
    if (!l || !l->unaligned || !l->size)
        return;
    uint64_t w = n->img->word, v, into;
    uint64_t count = row->kind == HR_T_ARRAY ? size / l->size : 1;
    for (uint64_t k = 0; k < count && !out->stop; k++)
        for (uint32_t i = 0; i < l->nops; i++) {
            const struct hr_layop *o = &hr_layout_ops(n, l)[i];
            uint64_t off = k * l->size + o->off;
            if (o->kind != HR_LOP_PTR || (addr + off) % w == 0 || off + w > size || !hr_image_word(n->img, addr + off, &v))
                continue;
            hr_id to = hr_heap_at(n->heap, v, &into);
            if (to != HR_NONE && (n->heap->state[to] == HR_USED || n->heap->state[to] == HR_HOST))
                hr_edge_push(out, to, off < UINT32_MAX ? (uint32_t)off : UINT32_MAX, into ? HR_SURE_INTERIOR : HR_SURE_EXACT);
        }
}
