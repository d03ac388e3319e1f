/* What values an array has: compared with a naive look at each, for every width and byte order, whole and as a sample. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analyzer/runtimes/cpython/arrays.h"
#include "analyzer/runtimes/cpython/ndarray.h"
#include "tests/tap.h"

enum { BASE = 0x10000, ROOM = 1 << 22 };

struct world {
    struct hr_strs *strs;
    struct hr_notes notes;
    struct hr_image img;
    struct hr_py py;
    uint8_t *bytes;
};

static void put(struct world *w, uint64_t at, unsigned n, uint64_t v, bool big)
{
    for (unsigned i = 0; i < n; i++)
        w->bytes[at + (big ? n - 1 - i : i)] = (uint8_t)(v >> 8 * i);
}

/* Two segments that meet in the middle of an item. */
static void begin(struct world *w, bool big)
{
    memset(w, 0, sizeof *w);
    w->bytes = calloc(1, ROOM);
    hr_notes_init(&w->notes);
    if (hr_strs_create(&w->strs) != HR_OK)
        abort();
    hr_image_init(&w->img, w->strs, &w->notes);
    w->img.word = 8;
    w->img.big = big;
    uint64_t cut = 4099;
    struct hr_segment a = {.addr = BASE, .msize = cut, .bytes = {w->bytes, cut}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    struct hr_segment b = {.addr = BASE + cut, .msize = ROOM - cut, .bytes = {w->bytes + cut, ROOM - cut}, .flags = HR_SEG_R, .module = HR_NONE};
    if (hr_image_add(&w->img, a) != HR_OK || hr_image_add(&w->img, b) != HR_OK || hr_image_arrange(&w->img) != HR_OK || hr_image_seal(&w->img) != HR_OK)
        abort();
    w->py.img = &w->img;
}

static void end(struct world *w)
{
    hr_image_deinit(&w->img);
    hr_strs_destroy(w->strs);
    hr_notes_deinit(&w->notes);
    free(w->bytes);
}

static struct hr_py_ndarray array(char kind, unsigned size, uint64_t items, bool big)
{
    struct hr_py_ndarray a = {.data = BASE, .nd = 1, .items = items, .nbytes = items * size};
    a.d.kind = kind;
    a.d.itemsize = size;
    a.d.order = size == 1 ? '|' : big ? '>' : '<';
    return a;
}

/* Bytes that hold all of [least, most], naively. */
static unsigned need(char kind, int64_t least, int64_t most, char *as)
{
    *as = kind;
    for (unsigned n = 1; n < 8; n *= 2) {
        if (kind == 'i' && least >= -(1ll << (8 * n - 1)) && most < 1ll << (8 * n - 1))
            return n;
        if (least >= 0 && most < 1ll << 8 * n) {
            *as = 'u';
            return n;
        }
    }
    return 8;
}

static void integers(bool image_big, bool big)
{
    struct world w;
    begin(&w, image_big);
    bool right = true;
    for (unsigned round = 0; round < 300; round++) {
        static const unsigned sizes[] = {2, 4, 8};
        unsigned size = sizes[round % 3], bits = 1 + (unsigned)random() % (8 * size - 1);
        char kind = round % 2 ? 'i' : 'u', as;
        uint64_t n = 600 + (uint64_t)random() % 9000;
        int64_t least = INT64_MAX, most = INT64_MIN;
        for (uint64_t i = 0; i < n; i++) {
            int64_t v = (int64_t)(((uint64_t)random() << 33 ^ (uint64_t)random()) & ((1ull << bits) - 1));
            if (kind == 'i' && round % 4 == 1)
                v -= (int64_t)(1ull << (bits - 1));
            least = v < least ? v : least;
            most = v > most ? v : most;
            put(&w, i * size, size, (uint64_t)v, big);
        }
        struct hr_py_ndarray a = array(kind, size, n, big);
        struct hr_py_scan s;
        uint64_t budget = 1 << 30;
        hr_py_array_scan(&w.py, &a, &budget, &s);
        unsigned want = need(kind, least, most, &as);
        bool fits = want < size;
        right &= fits ? s.kind == as && s.itemsize == want && s.checked == n : !s.kind;
        right &= s.constant == (least == most);
    }
    OK(right, "integers: image %s, items %s", image_big ? "big-endian" : "little-endian", big ? "big-endian" : "little-endian");
    end(&w);
}

static void doubles(bool big)
{
    struct world w;
    begin(&w, false);
    bool right = true;
    for (unsigned round = 0; round < 60; round++) {
        uint64_t n = 700 + (uint64_t)random() % 5000, odd = (uint64_t)random() % n;
        for (uint64_t i = 0; i < n; i++) {
            double d = i % 97 == 3 ? NAN : i % 89 == 5 ? -INFINITY : (double)((float)random() / 3.0f);
            if (round % 2 && i == odd)
                d = 0.1;
            uint64_t v;
            memcpy(&v, &d, 8);
            put(&w, i * 8, 8, v, big);
        }
        struct hr_py_ndarray a = array('f', 8, n, big);
        struct hr_py_scan s;
        uint64_t budget = 1 << 30;
        hr_py_array_scan(&w.py, &a, &budget, &s);
        right &= round % 2 ? !s.kind : s.kind == 'f' && s.itemsize == 4 && s.checked == n;
    }
    OK(right, "doubles that are floats, and that are none, %s", big ? "big-endian" : "little-endian");
    end(&w);
}

static void samples(void)
{
    struct world w;
    begin(&w, false);
    uint64_t n = ROOM / 8;
    for (uint64_t i = 0; i < n; i++)
        put(&w, i * 8, 8, i % 100, false);
    struct hr_py_ndarray a = array('i', 8, n, false);
    struct hr_py_scan s;
    uint64_t budget = ROOM - 1;
    hr_py_array_scan(&w.py, &a, &budget, &s);
    OK(s.kind == 'i' && s.itemsize == 1 && s.checked < n && s.checked >= 1 << 17, "beyond the budget: a sample, and it says so (%llu)", (unsigned long long)s.checked);
    OK(budget < ROOM - 1, "what is read is paid for");
    put(&w, ROOM - 8, 8, 1ull << 40, false);
    budget = ROOM;
    hr_py_array_scan(&w.py, &a, &budget, &s);
    OK(!s.kind && !s.constant, "within it the last item counts");
    a.data = BASE + ROOM / 2;
    hr_py_array_scan(&w.py, &a, &budget, &s);
    budget = 1 << 30;
    hr_py_array_scan(&w.py, &a, &budget, &s);
    OK(!s.kind && !s.constant && s.checked < n, "an array whose end the image lacks: nothing is said of it");
    memset(w.bytes, 0, ROOM);
    a = array('f', 8, n, false);
    hr_py_array_scan(&w.py, &a, &budget, &s);
    OK(s.constant && s.zero && s.checked == n, "zeros");
    end(&w);
}

static void texts(void)
{
    struct world w;
    begin(&w, false);
    for (uint64_t i = 0; i < 1000; i++)
        for (unsigned k = 0; k < i % 7; k++)
            put(&w, i * 80 + 4 * k, 4, 0x1f600, false);
    struct hr_py_ndarray a = array('U', 80, 1000, false);
    struct hr_py_scan s;
    uint64_t budget = 1 << 30;
    hr_py_array_scan(&w.py, &a, &budget, &s);
    OK(s.kind == 'U' && s.itemsize == 24, "texts: the longest has 6 characters (%llu bytes)", (unsigned long long)s.itemsize);
    put(&w, 999 * 80 + 76, 4, 'x', false);
    hr_py_array_scan(&w.py, &a, &budget, &s);
    OK(!s.kind, "texts: one that needs the whole");
    end(&w);
}

int main(void)
{
    srandom(7);
    for (int i = 0; i < 4; i++)
        integers(i & 1, i & 2);
    doubles(false);
    doubles(true);
    samples();
    texts();
    return tap_done();
}
