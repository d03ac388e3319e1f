/* Equal arrays: same dtype, same bytes; the shape may differ, as a view's may. Only arrays that have a partner of their size and dtype are read. */
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/ndarray.h"

enum { LEAST_BYTES = 1024, PIECE = 1 << 16 };

struct candidate { uint64_t key, hash, data, addr; uint32_t array; };
HR_VEC(candidatevec, struct candidate)

static int by_key(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->addr < y->addr ? -1 : x->addr > y->addr;
}

/* Of its bytes; 0 when the image lacks some. */
static uint64_t hash_data(const struct hr_py *py, uint64_t at, uint64_t n)
{
    uint64_t h = n;
    uint8_t piece[PIECE];
    for (uint64_t done = 0; done < n;) {
        size_t want = hr_min(n - done, PIECE);
        if (hr_image_read(py->img, at + done, piece, want) != want)
            return 0;
        h = hr_hash_bytes(piece, want, h);
        done += want;
    }
    return h ? h : 1;
}

static bool same_data(const struct hr_py *py, uint64_t a, uint64_t b, uint64_t n)
{
    uint8_t x[PIECE], y[PIECE];
    for (uint64_t done = 0; done < n;) {
        size_t want = hr_min(n - done, PIECE);
        if (hr_image_read(py->img, a + done, x, want) != want || hr_image_read(py->img, b + done, y, want) != want || memcmp(x, y, want))
            return false;
        done += want;
    }
    return true;
}

static enum hr_status collect(struct hr_py *py, struct hr_py_arrays *all, struct candidatevec *v)
{
    struct hr_bits constant;
    HR_TRY(hr_bits_init(&constant, all->list.n + 1));
    for (size_t i = 0; i < all->waste.n; i++)
        if (all->waste.v[i].kind == HR_PA_CONSTANT) /* these are said to be equal already */
            hr_bits_set(&constant, all->waste.v[i].array);
    enum hr_status st = HR_OK;
    for (size_t i = 0; i < all->list.n && st == HR_OK; i++) {
        const struct hr_py_array *a = &all->list.v[i];
        struct hr_py_ndarray nd;
        if (!a->owns || !a->contiguous || a->object || a->nbytes < LEAST_BYTES || hr_bits_get(&constant, i) || !hr_py_ndarray(py, a->addr, &nd))
            continue;
        uint64_t key = hr_mix(a->nbytes) ^ a->dtype * 0x9e3779b97f4a7c15ull;
        st = candidatevec_push(v, (struct candidate){key, 0, nd.data, a->addr, (uint32_t)i});
    }
    hr_bits_deinit(&constant);
    return st;
}

/* [from, to) have one key: those with a partner are read and sorted by what they hold. */
static void read_group(struct hr_py *py, struct hr_py_arrays *all, struct candidate *v, size_t n)
{
    for (size_t i = 0; n > 1 && i < n; i++) {
        uint64_t bytes = all->list.v[v[i].array].nbytes;
        if (bytes > all->budget) {
            all->short_of = true;
            continue;
        }
        all->budget -= bytes;
        v[i].hash = hash_data(py, v[i].data, bytes);
    }
    qsort(v, n, sizeof *v, by_key);
}

static enum hr_status add_copies(struct hr_py *py, struct hr_py_arrays *all, const struct candidate *v, size_t n)
{
    for (size_t i = 0, first = 0; i < n; i++) {
        const struct hr_py_array *a = &all->list.v[v[i].array];
        if (!v[i].hash || !i || v[i].hash != v[first].hash || !same_data(py, v[first].data, v[i].data, a->nbytes)) {
            first = i;
            continue;
        }
        HR_TRY(hr_pyarraywastevec_push(&all->waste, (struct hr_py_array_waste){.array = v[i].array, .kind = HR_PA_COPY, .first = v[first].addr,
                                                                              .saves = a->nbytes, .checked = a->items}));
    }
    return HR_OK;
}

enum hr_status hr_py_arrays_same(struct hr_py *py, struct hr_py_arrays *all)
{
    struct candidatevec v = {.max = 1 << 28};
    enum hr_status st = collect(py, all, &v);
    if (v.n)
        qsort(v.v, v.n, sizeof *v.v, by_key);
    for (size_t i = 0, next; i < v.n && st == HR_OK; i = next) {
        for (next = i + 1; next < v.n && v.v[next].key == v.v[i].key; next++)
            ;
        read_group(py, all, v.v + i, next - i);
        st = add_copies(py, all, v.v + i, next - i);
    }
    candidatevec_deinit(&v);
    return st;
}
