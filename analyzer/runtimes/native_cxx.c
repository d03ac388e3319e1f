/* C++: libstdc++'s containers as a table (layouts: bits/stl_vector.h, stl_list.h, stl_tree.h, hashtable.h, stl_deque.h …,
 * found by member name in the DWARF, never by offset), and dynamic types by virtual table. */
#include "analyzer/runtimes/native_spread.h"

#include <stdio.h>
#include <string.h>

enum { FAR = 1 << 30 /* no sub-object lies farther from its object's start */ };

#define CXX11_STRING "std::__cxx11::basic_string<char,"

/* ---- the table ---- */

struct cxx {
    const char *name;      /* without std:: and inline namespaces */
    uint8_t op;
    int8_t value;          /* template argument that is the element, -1 none */
    const char *path;      /* member the operation starts at */
    const char *path2;     /* second member, what aux means is the operation's business */
    const char *node;      /* template of the nodes */
};
static const struct cxx table[] = {
    {"vector", HR_LOP_VECTOR, 0, "_M_impl._M_start", NULL, NULL},
    {"basic_string", HR_LOP_STRING, 0, "_M_dataplus._M_p", "_M_local_buf", NULL},
    {"list", HR_LOP_LIST, 0, "_M_impl._M_node", NULL, "_List_node"},
    {"forward_list", HR_LOP_CHAIN, 0, "_M_impl._M_head", NULL, "_Fwd_list_node"},
    {"_Rb_tree", HR_LOP_TREE, 1, "_M_impl._M_header._M_parent", NULL, "_Rb_tree_node"},
    {"_Hashtable", HR_LOP_HASH, 1, "_M_buckets", NULL, "_Hash_node"},
    {"deque", HR_LOP_DEQUE, 0, "_M_impl._M_map", NULL, NULL},
    {"_List_node", HR_LOP_NODE, 0, NULL, "_M_storage", NULL},
    {"_Fwd_list_node", HR_LOP_NODE, 0, "_M_next", "_M_storage", NULL},
    {"_Rb_tree_node", HR_LOP_NODE, 0, "_M_left", "_M_storage", NULL},
    {"_Hash_node", HR_LOP_NODE, 0, "_M_nxt", "_M_storage", NULL},
    {"__aligned_membuf", HR_LOP_NODE, 0, NULL, NULL, NULL},
    {"__aligned_buffer", HR_LOP_NODE, 0, NULL, NULL, NULL},
    {"_Optional_payload_base", HR_LOP_MAYBE, 0, "_M_payload", "_M_engaged", NULL},
    {"_Variant_storage", HR_LOP_VARIANT, -1, "_M_u", "_M_index", NULL},
    {"function", HR_LOP_CALLABLE, -1, "_M_functor", "_M_manager", NULL},
    {"any", HR_LOP_CALLABLE, -1, "_M_storage", "_M_manager", NULL},
};

/* Behind "std::" and the inline namespaces within; NULL: not the library's. */
static const char *library_name(const char *name)
{
    if (!strncmp(name, "__gnu_cxx::", 11))
        return name + 11;
    if (strncmp(name, "std::", 5))
        return NULL;
    name += 5;
    static const char *const in[] = {"__cxx11::", "__detail::", "__debug::", "__variant::"};
    for (unsigned i = 0; i < 2 * sizeof in / sizeof *in; i++) {
        const char *p = in[i % (sizeof in / sizeof *in)];
        if (!strncmp(name, p, strlen(p)))
            name += strlen(p);
    }
    return name;
}

static const struct cxx *find_cxx(const char *name)
{
    name = library_name(name);
    for (size_t i = 0; name && i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(table[i].name);
        if (!strncmp(name, table[i].name, n) && (name[n] == '<' || !name[n]))
            return &table[i];
    }
    return NULL;
}

/* Offset of "a.b.c" within a type. */
static bool path(const struct hr_types *t, hr_type in, const char *p, uint64_t *ret)
{
    uint64_t sum = 0, off;
    char part[64];
    while (*p) {
        size_t n = strcspn(p, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, p);
        const struct hr_field *f = hr_type_field(t, hr_type_strip(t, in), part, &off);
        if (!f)
            return false;
        sum += off;
        in = f->type;
        p += n + (p[n] == '.');
    }
    *ret = sum;
    return true;
}

static hr_type targ(const struct hr_types *t, const struct hr_type_row *r, int i)
{
    return i >= 0 && (uint32_t)i < r->ntparams ? hr_type_strip(t, t->tparams.v[r->tparam0 + (uint32_t)i].type) : 0;
}

/* ---- nodes ---- */

static uint64_t node_key(const char *tmpl, size_t n, hr_type value, int64_t cache)
{
    return hr_mix(hr_hash_bytes(tmpl, n, 7) ^ ((uint64_t)value << 8 | (uint8_t)cache));
}

/* Whether a hash table keeps the hash in its nodes: _Hashtable_traits<cache, …> among its arguments. */
static int64_t cached(const struct hr_types *t, const struct hr_type_row *r)
{
    for (uint32_t i = 0; i < r->ntparams; i++) {
        const struct hr_type_row *a = hr_type_get(t, targ(t, r, (int)i));
        const char *name = library_name(hr_strs_get(t->strs, a->name));
        if (name && a->ntparams && !strncmp(name, "_Hashtable_traits<", 18) && t->tparams.v[a->tparam0].is_value)
            return t->tparams.v[a->tparam0].value;
    }
    return 0;
}

/* Node types are reached through untyped bases only; their template arguments say whose they are. */
enum hr_status hr_cxx_index_nodes(struct hr_spread *s)
{
    const struct hr_types *t = s->n->types;
    for (hr_type i = 1; i < t->rows.n; i++) {
        const struct hr_type_row *r = &t->rows.v[i];
        if (r->kind != HR_T_STRUCT || !r->ntparams || !r->size)
            continue;
        const struct cxx *c = find_cxx(hr_strs_get(t->strs, r->name));
        if (!c || c->op != HR_LOP_NODE || c->name[0] != '_' || c->name[1] == '_')
            continue;
        int64_t cache = r->ntparams > 1 && t->tparams.v[r->tparam0 + 1].is_value ? t->tparams.v[r->tparam0 + 1].value : 0;
        HR_TRY(hr_map_put(&s->nodes, node_key(c->name, strlen(c->name), targ(t, r, 0), cache), i));
    }
    return HR_OK;
}

static hr_type node_of(const struct hr_native *n, const struct cxx *c, const struct hr_type_row *r)
{
    hr_type v = targ(n->types, r, c->value);
    int64_t cache = c->op == HR_LOP_HASH ? cached(n->types, r) : 0;
    uint32_t id = n->spread ? hr_map_get(&n->spread->nodes, node_key(c->node, strlen(c->node), v, cache)) : HR_NONE;
    return id == HR_NONE ? 0 : id;
}

static int node_ops(struct hr_native *n, const struct cxx *c, hr_type type, const struct hr_type_row *r,
                    struct hr_layop *ops, int cap, hr_type *inline_ret, uint32_t *inline_off)
{
    uint64_t off = 0;
    int k = 0;
    if (c->path && path(n->types, type, c->path, &off) && k < cap) {
        ops[k++] = (struct hr_layop){.off = (uint32_t)off, .kind = HR_LOP_NODE, .type = type};
        if (!strcmp(c->path, "_M_left") && path(n->types, type, "_M_right", &off) && k < cap)
            ops[k++] = (struct hr_layop){.off = (uint32_t)off, .kind = HR_LOP_NODE, .type = type};
    }
    off = 0;
    if (!c->path2 || path(n->types, type, c->path2, &off)) {
        *inline_ret = targ(n->types, r, 0);
        *inline_off = (uint32_t)off;
    }
    return k;
}

/* clang describes std::string in the library's own debug information only. Its layout is the ABI's: pointer, length, 16
 * bytes of local buffer. */
static int declared_string(struct hr_native *n, const struct hr_type_row *r, struct hr_layop *ops, int cap)
{
    hr_type el = hr_type_find(n->types, "char");
    if (cap < 1 || !el || strncmp(hr_strs_get(n->types->strs, r->name), CXX11_STRING, sizeof CXX11_STRING - 1))
        return -1;
    ops[0] = (struct hr_layop){.kind = HR_LOP_STRING, .type = el, .aux = 2 * n->img->word};
    return 1;
}

/* Gives it its size, so that arrays of it can be walked. */
void hr_cxx_complete(struct hr_native *n)
{
    for (size_t i = 1; i < n->types->rows.n; i++) {
        struct hr_type_row *r = &n->types->rows.v[i];
        if (r->flags & HR_TF_DECLARATION && !r->size && r->kind == HR_T_STRUCT &&
            !strncmp(hr_strs_get(n->types->strs, r->name), CXX11_STRING, sizeof CXX11_STRING - 1)) {
            r->size = 2u * n->img->word + 16;
            r->flags &= (uint8_t)~HR_TF_UNSIZED;
        }
    }
}

int hr_cxx_container(struct hr_native *n, hr_type type, struct hr_layop *ops, int cap, hr_type *inline_ret,
                     uint32_t *inline_off)
{
    const struct hr_type_row *r = hr_type_get(n->types, type);
    const struct cxx *c = r->kind == HR_T_STRUCT ? find_cxx(hr_strs_get(n->types->strs, r->name)) : NULL;
    uint64_t off, off2 = 0;
    if (!c)
        return -1;
    if (c->op == HR_LOP_STRING && r->flags & HR_TF_DECLARATION)
        return declared_string(n, r, ops, cap);
    if (c->op == HR_LOP_NODE)
        return r->ntparams ? node_ops(n, c, type, r, ops, cap, inline_ret, inline_off) : -1;
    hr_type value = targ(n->types, r, c->value);
    if (cap < 1 || !path(n->types, type, c->path, &off) || (c->value >= 0 && !value))
        return -1;
    if (c->op == HR_LOP_VECTOR && hr_type_get(n->types, value)->kind == HR_T_BOOL)
        return -1; /* vector<bool> points at words like any struct */
    if (c->path2 && !path(n->types, type, c->path2, &off2) && c->op != HR_LOP_STRING)
        return -1;
    ops[0] = (struct hr_layop){.off = (uint32_t)off, .kind = c->op, .type = value};
    if (c->path2)
        ops[0].aux = off2 || c->op != HR_LOP_STRING ? (int32_t)((int64_t)off2 - (int64_t)off) : 0;
    if (c->node)
        ops[0].type = node_of(n, c, r);
    if (c->value < 0)
        ops[0].type = type;
    return 1;
}

/* ---- running them ---- */

static uint64_t size_of(const struct hr_spread *s, hr_type t)
{
    return hr_type_get(s->n->types, hr_type_strip(s->n->types, t))->size;
}

static void whole_array(struct hr_spread *s, uint64_t addr, uint64_t bytes, hr_type el, uint64_t used, uint8_t strength,
                        hr_id src)
{
    hr_type arr;
    uint64_t into;
    if (hr_types_array_of(s->n->types, el, 0, &arr) != HR_OK) {
        s->failed = true;
        return;
    }
    if (!hr_vote_whole(s, addr, bytes, arr, src))
        return;
    hr_id id = hr_heap_at(s->h, addr, &into);
    hr_follow(s, addr, used, el, hr_min(strength, HR_VOTE_POINTER), id);
}

static void vector(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    uint64_t w = s->n->img->word, b, e, c, each = size_of(s, op->type);
    if (!each || !hr_rd(s, at, &b) || !hr_rd(s, at + w, &e) || !hr_rd(s, at + 2 * w, &c) || !b || b > e || e > c ||
        (e - b) % each || (c - b) % each || b == c)
        return;
    whole_array(s, b, c - b, op->type, (e - b) / each, strength, src);
}

static void string(struct hr_spread *s, uint64_t at, const struct hr_layop *op, hr_id src)
{
    uint64_t w = s->n->img->word, p, len, cap, each = size_of(s, op->type);
    if (!each || !hr_rd(s, at, &p) || !p || p == at + (uint64_t)(int64_t)op->aux)
        return;
    if (op->aux) {
        if (hr_rd(s, at + w, &len) && hr_rd(s, at + 2 * w, &cap) && len <= cap && cap < UINT64_MAX / 8)
            whole_array(s, p, (cap + 1) * each, op->type, 0, HR_VOTE_POINTER, src);
    } else if (hr_rd(s, p - 3 * w, &len) && hr_rd(s, p - 2 * w, &cap) && len <= cap && cap < UINT64_MAX / 8) {
        /* the old copy-on-write string: length, capacity and count before the text */
        whole_array(s, p - 3 * w, 3 * w + (cap + 1) * each, op->type, 0, HR_VOTE_POINTER, src);
    }
}

/* One node and, as it is followed in its turn, all behind it. */
static bool node(struct hr_spread *s, uint64_t at, hr_type type, uint8_t strength, hr_id src)
{
    uint64_t size = size_of(s, type), into;
    if (!type || !size || !hr_vote_whole(s, at, size, type, src))
        return false;
    hr_follow(s, at, 1, type, hr_min(strength, HR_VOTE_POINTER), hr_heap_at(s->h, at, &into));
    return true;
}

/* The ring, up to its head: which is no node though a node points at it. Stops at a node that is known already. */
static void list(struct hr_spread *s, uint64_t head, hr_type type, uint8_t strength, hr_id src)
{
    uint64_t w = s->n->img->word, at = head, next, back;
    while (hr_rd(s, at, &next) && next != head && hr_burn(&s->fuel, 1)) {
        if (!hr_rd(s, next + w, &back) || back != at || !node(s, next, type, strength, src))
            return;
        at = next;
    }
}

static void hash(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    uint64_t w = s->n->img->word, buckets, count, first;
    hr_type base = hr_type_find(s->n->types, "std::__detail::_Hash_node_base"), ptr;
    if (!hr_rd(s, at, &buckets) || !hr_rd(s, at + w, &count) || !hr_rd(s, at + 2 * w, &first) || !count)
        return;
    if (base && hr_types_pointer_to(s->n->types, base, &ptr) == HR_OK && count < UINT64_MAX / w)
        whole_array(s, buckets, count * w, ptr, 0, strength, src);
    if (first)
        node(s, first, op->type, strength, src);
}

static void deque(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    uint64_t w = s->n->img->word, v[10], each = size_of(s, op->type), into;
    for (unsigned i = 0; i < 10; i++) /* map, map size, start {cur, first, last, node}, finish {…} */
        if (!hr_rd(s, at + i * w, &v[i]))
            return;
    hr_type ptr;
    uint64_t per = each < 512 ? 512 / (each ? each : 1) : 1; /* __deque_buf_size */
    if (!each || !v[0] || v[1] > UINT64_MAX / w / 2 || v[5] < v[0] || v[9] < v[5] || v[9] - v[0] >= v[1] * w ||
        (v[5] - v[0]) % w || hr_types_pointer_to(s->n->types, op->type, &ptr) != HR_OK)
        return;
    whole_array(s, v[0], v[1] * w, ptr, 0, strength, src);
    hr_id map = hr_heap_at(s->h, v[0], &into);
    if (map == HR_NONE || into)
        return;
    for (uint64_t m = v[5], buf; m <= v[9] && m - v[0] < hr_block_size(s->h, map) && hr_burn(&s->fuel, 1); m += w) {
        if (!hr_rd(s, m, &buf))
            return;
        uint64_t lo = m == v[5] ? v[2] : buf, hi = m == v[9] ? v[6] : buf + per * each;
        hr_type arr;
        if (hr_types_array_of(s->n->types, op->type, 0, &arr) != HR_OK || lo < buf || hi < lo || hi > buf + per * each)
            return;
        if (hr_vote_whole(s, buf, per * each, arr, src))
            hr_follow(s, lo, (hi - lo) / each, op->type, hr_min(strength, HR_VOTE_POINTER), hr_heap_at(s->h, buf, &into));
    }
}

static void tree(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    uint64_t w = s->n->img->word, root, up;
    /* the root's parent is the header, whose colour word lies before its parent word */
    if (hr_rd(s, at, &root) && root && hr_rd(s, root + w, &up) && up == at - w)
        node(s, root, op->type, strength, src);
}

/* A variant's value: its index chooses among the template arguments. */
static void variant(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    const struct hr_types *t = s->n->types;
    const struct hr_type_row *r = hr_type_get(t, op->type);
    uint64_t i;
    uint32_t skip = r->ntparams && t->tparams.v[r->tparam0].is_value; /* _Variant_storage<bool, Ts...> */
    unsigned bytes = r->ntparams > 200 ? 2 : 1;
    if (!hr_image_uint(s->n->img, at + (uint64_t)(int64_t)op->aux, bytes, &i) || i + skip >= r->ntparams)
        return;
    hr_follow(s, at, 1, t->tparams.v[r->tparam0 + skip + i].type, strength, src);
}

static void vbase(struct hr_spread *s, uint64_t at, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    /* Itanium ABI: the offsets of virtual bases lie before offset-to-top and the type_info, the first nearest. */
    uint64_t w = s->n->img->word, vptr, off;
    int64_t top;
    if (!hr_rd(s, at, &vptr) || !hr_cxx_dynamic(s, at, &top) || !hr_rd(s, vptr - (3 + (uint64_t)op->count) * w, &off))
        return;
    uint64_t base = at + (w == 4 ? (uint64_t)(int64_t)(int32_t)off : off), into, into2;
    hr_id a = hr_heap_at(s->h, at, &into), b = hr_heap_at(s->h, base, &into2);
    if (base != at && (a == b || (a == HR_NONE && b == HR_NONE)) && off < (1 << 20))
        hr_follow(s, base, 1, op->type, strength, src);
}

/* A block of just this many bytes starts there, nothing else being known of it. */
static bool holds(struct hr_spread *s, uint64_t addr, uint64_t bytes)
{
    uint64_t into;
    hr_id id = hr_heap_at(s->h, addr, &into);
    return id != HR_NONE && !into && hr_spread_live(s, id) && hr_fit(s, id, addr, bytes);
}

int hr_cxx_proof(struct hr_spread *s, uint64_t addr, const struct hr_layop *op)
{
    uint64_t at = addr + op->off, w = s->n->img->word, a, b, c, each = size_of(s, op->type);
    if (!hr_rd(s, at, &a) || !hr_rd(s, at + w, &b) || !hr_rd(s, at + 2 * w, &c))
        return -1;
    switch (op->kind) {
    case HR_LOP_VECTOR: /* begin, end, end of storage */
        if (!a)
            return b || c ? -1 : 0;
        return each && a <= b && b <= c && !((b - a) % each) && (a == c || holds(s, a, c - a)) ? 3 : -1;
    case HR_LOP_STRING: /* text, length, capacity */
        if (a == at + (uint64_t)(int64_t)op->aux)
            return b < 16 ? 3 : -1;
        return !op->aux ? 0 : b <= c && c < UINT32_MAX && holds(s, a, (c + 1) * each) ? 3 : -1;
    case HR_LOP_LIST: /* next, prev; the neighbour points back */
        return hr_rd(s, a + w, &c) && c == at ? 2 : -1;
    case HR_LOP_TREE: /* root, leftmost, rightmost; count behind */
        if (!a)
            return b == at - w && c == at - w ? 2 : -1;
        return hr_rd(s, a + w, &c) && c == at - w ? 3 : -1;
    case HR_LOP_HASH: /* buckets, count */
        return b == 1 ? (a == at + 6 * w ? 2 : -1) : b < UINT32_MAX && holds(s, a, b * w) ? 3 : -1;
    case HR_LOP_DEQUE:
        return b < UINT32_MAX && holds(s, a, b * w) ? 3 : -1;
    default:
        return 0;
    }
}

void hr_cxx_run(struct hr_spread *s, uint64_t addr, const struct hr_layop *op, uint8_t strength, hr_id src)
{
    uint64_t at = addr + op->off, v;
    switch (op->kind) {
    case HR_LOP_VECTOR:
        vector(s, at, op, strength, src);
        break;
    case HR_LOP_STRING:
        string(s, at, op, src);
        break;
    case HR_LOP_LIST:
        list(s, at, op->type, strength, src);
        break;
    case HR_LOP_TREE:
        tree(s, at, op, strength, src);
        break;
    case HR_LOP_HASH:
        hash(s, at, op, strength, src);
        break;
    case HR_LOP_CHAIN:
    case HR_LOP_NODE:
        if (hr_rd(s, at, &v) && v)
            node(s, v, op->type, strength, src);
        break;
    case HR_LOP_DEQUE:
        deque(s, at, op, strength, src);
        break;
    case HR_LOP_MAYBE:
        if (hr_image_uint(s->n->img, at + (uint64_t)(int64_t)op->aux, 1, &v) && v == 1)
            hr_follow(s, at, 1, op->type, strength, src);
        break;
    case HR_LOP_VARIANT:
        variant(s, at, op, strength, src);
        break;
    case HR_LOP_CALLABLE:
        hr_callable_run(s, at, op, strength, src);
        break;
    case HR_LOP_VBASE:
        vbase(s, at, op, strength, src);
        break;
    default:
        break;
    }
}

/* ---- dynamic types ---- */

/* Without debug information: a row that has the class's name and no size. */
static hr_type by_name(struct hr_spread *s, uint64_t vptr, int64_t *top_ret)
{
    char name[HR_MAX_STRING];
    uint64_t w = s->n->img->word, top;
    hr_type t = 0;
    if (!hr_vtable_class_name(s->n->types, vptr, name, sizeof name) || !hr_rd(s, vptr - 2 * w, &top) ||
        hr_types_add_runtime(s->n->types, name, 0, &t) != HR_OK)
        return 0;
    *top_ret = w == 4 ? (int32_t)top : (int64_t)top;
    return t;
}

hr_type hr_cxx_dynamic(struct hr_spread *s, uint64_t at, int64_t *top_ret)
{
    uint64_t v;
    *top_ret = 0;
    if (!hr_rd(s, at, &v) || !hr_spread_module(s, v))
        return 0;
    uint32_t known = hr_map_get(&s->vtables, v);
    if (known == HR_NONE) {
        int64_t top = 0;
        hr_type t = hr_type_of_vtable(s->n->types, v, &top);
        if (!t)
            t = by_name(s, v, &top);
        if (top < -FAR || top > FAR)
            t = 0;
        known = t ? t + 1 : 0;
        if (hr_map_put(&s->vtables, v, known) != HR_OK || hr_map_put(&s->vtop, v, (uint32_t)(top + FAR)) != HR_OK)
            return 0; /* more virtual tables than anybody has: the rest are not looked at */
    }
    if (known)
        *top_ret = (int64_t)hr_map_get(&s->vtop, v) - FAR;
    return known ? known - 1 : 0;
}
