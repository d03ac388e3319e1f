/* What values an array has: the smallest dtype that holds them all unchanged, and whether they are all the same. An array that fits no
 * smaller dtype mostly shows it in its first items, so reading stops early; only what could be saved is read to the end. */
#include <string.h>

#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/ndarray.h"

enum { CHUNK = 4096, SAMPLE_BYTES = 1 << 20, MAX_ITEM = 4096 };

struct scan {
    const struct hr_py_descr *d;
    bool big;                /* order of the items */
    bool fits, constant, some;
    int64_t least, most;     /* of signed integers; of unsigned ones `top` */
    uint64_t top, width;     /* width: longest text */
    uint8_t first[MAX_ITEM];
};

static bool host_order(const struct scan *s) { return s->big == (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__); }

static uint64_t load(const uint8_t *p, unsigned n, bool big)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < n; i++)
        v = v << 8 | p[big ? i : n - 1 - i];
    return v;
}

static unsigned signed_bytes(int64_t least, int64_t most)
{
    if (least >= INT8_MIN && most <= INT8_MAX)
        return 1;
    if (least >= INT16_MIN && most <= INT16_MAX)
        return 2;
    return least >= INT32_MIN && most <= INT32_MAX ? 4 : 8;
}
static unsigned unsigned_bytes(uint64_t top) { return top <= UINT8_MAX ? 1 : top <= UINT16_MAX ? 2 : top <= UINT32_MAX ? 4 : 8; }

static unsigned needed(const struct scan *s)
{
    if (s->d->kind == 'u')
        return unsigned_bytes(s->top);
    unsigned n = signed_bytes(s->least, s->most);
    return s->least >= 0 ? (unsigned)hr_min(n, unsigned_bytes((uint64_t)s->most)) : n;
}

static void integers(struct scan *s, const uint8_t *p, uint64_t n)
{
    unsigned size = (unsigned)s->d->itemsize, shift = 64 - 8 * size;
    int64_t least = s->least, most = s->most, v;
    uint64_t top = s->top;
    if (size == 8 && host_order(s)) {
        for (uint64_t i = 0; i < n; i++) {
            memcpy(&v, p + i * 8, 8);
            least = v < least ? v : least;
            most = v > most ? v : most;
            top = (uint64_t)v > top ? (uint64_t)v : top;
        }
    } else {
        for (uint64_t i = 0; i < n; i++) {
            uint64_t u = load(p + i * size, size, s->big);
            v = (int64_t)(u << shift) >> shift;
            least = v < least ? v : least;
            most = v > most ? v : most;
            top = u > top ? u : top;
        }
    }
    s->least = least;
    s->most = most;
    s->top = top;
    s->fits = needed(s) < size;
}

/* Exact as float: converting there and back changes nothing; a NaN stays one. */
static void doubles(struct scan *s, const uint8_t *p, uint64_t n)
{
    uint64_t wrong = 0, bits;
    double v;
    for (uint64_t i = 0; i < n; i++) {
        if (host_order(s)) {
            memcpy(&v, p + i * 8, 8);
        } else {
            bits = load(p + i * 8, 8, s->big);
            memcpy(&v, &bits, 8);
        }
        wrong += (double)(float)v != v && v == v;
    }
    s->fits = !wrong;
}

static void texts(struct scan *s, const uint8_t *p, uint64_t n)
{
    uint64_t each = s->d->kind == 'U' ? 4 : 1, size = s->d->itemsize;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t end = size;
        while (end > s->width && !p[i * size + end - 1])
            end--;
        s->width = hr_max(s->width, (end + each - 1) / each * each);
    }
    s->fits = s->width < size;
}

static void look(struct scan *s, const uint8_t *p, uint64_t n)
{
    uint64_t size = s->d->itemsize;
    if (!s->some)
        memcpy(s->first, p, size);
    s->some = true;
    if (s->constant)
        s->constant = !memcmp(s->first, p, size) && !memcmp(p, p + size, (n - 1) * size);
    if (!s->fits)
        return;
    switch (s->d->kind) {
    case 'i': case 'u': integers(s, p, n); break;
    case 'f': doubles(s, p, n); break;
    case 'c': doubles(s, p, 2 * n); break;
    default: texts(s, p, n);
    }
}

static bool may_fit(const struct hr_py_descr *d)
{
    switch (d->kind) {
    case 'i': case 'u': return d->itemsize == 2 || d->itemsize == 4 || d->itemsize == 8;
    case 'f': return d->itemsize == 8;
    case 'c': return d->itemsize == 16;
    case 'U': return d->itemsize > 4;
    case 'S': return d->itemsize > 1;
    default: return false;
    }
}

static void conclude(const struct scan *s, struct hr_py_scan *ret)
{
    uint64_t size = s->d->itemsize;
    static const uint8_t zeros[MAX_ITEM];
    ret->constant = s->constant && s->some;
    ret->zero = ret->constant && !memcmp(s->first, zeros, size);
    if (!s->fits || !s->some)
        return;
    ret->kind = s->d->kind;
    if (s->d->kind == 'f' || s->d->kind == 'c') {
        ret->itemsize = size / 2;
    } else if (s->d->kind == 'U' || s->d->kind == 'S') {
        ret->itemsize = hr_max(s->width, s->d->kind == 'U' ? 4 : 1); /* NumPy has no empty ones */
        ret->kind = ret->itemsize < size ? s->d->kind : 0;
    } else {
        ret->itemsize = needed(s);
        if (s->d->kind == 'i' && signed_bytes(s->least, s->most) > ret->itemsize)
            ret->kind = 'u';
    }
}

void hr_py_array_scan(const struct hr_py *py, const struct hr_py_ndarray *a, uint64_t *budget, struct hr_py_scan *ret)
{
    struct scan s = {.d = &a->d, .big = a->d.order == '>' || (a->d.order == '|' && py->img->big), .constant = true, .fits = may_fit(&a->d),
                     .least = INT64_MAX, .most = INT64_MIN};
    uint64_t size = a->d.itemsize, items = a->items, seam;
    uint8_t one[MAX_ITEM];
    *ret = (struct hr_py_scan){0};
    if (!size || size > MAX_ITEM || a->d.objects || !a->data)
        return;
    if (a->nbytes > *budget)
        items = hr_min(items, SAMPLE_BYTES / size + 1);
    while (ret->checked < items && (s.constant || s.fits)) {
        uint64_t at = a->data + ret->checked * size;
        struct hr_span b = hr_image_peek(py->img, at, hr_min(items - ret->checked, CHUNK) * size);
        uint64_t n = b.n / size;
        if (n) {
            look(&s, b.p, n);
        } else { /* an item across two segments */
            seam = hr_image_read(py->img, at, one, size);
            if (seam < size)
                break;
            look(&s, one, n = 1);
        }
        ret->checked += n;
    }
    uint64_t read = ret->checked * size;
    *budget -= hr_min(read, *budget);
    if (ret->checked == items)
        conclude(&s, ret);
}
