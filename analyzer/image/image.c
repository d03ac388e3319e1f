#include "analyzer/image/image.h"

#include "analyzer/base/limits.h"

void hr_image_init(struct hr_image *img, struct hr_strs *strs, struct hr_notes *notes)
{
    *img = (struct hr_image){
        .format = "", .strs = strs, .notes = notes, .complete = true, .word = 8, .arch = hr_arch_unknown(64),
        .segs.max = HR_MAX_SEGMENTS, .modules.max = HR_MAX_MODULES, .threads.max = HR_MAX_THREADS,
    };
}

enum hr_status hr_image_add(struct hr_image *img, struct hr_segment seg)
{
    if (img->sealed || !seg.msize)
        return HR_USAGE;
    if (seg.msize > UINT64_MAX - seg.addr) /* the last byte of the address space is nobody's */
        seg.msize = UINT64_MAX - seg.addr;
    if (!seg.msize)
        return HR_OK;
    seg.bytes.n = (size_t)hr_min(seg.bytes.n, seg.msize);
    return hr_segvec_push(&img->segs, seg);
}

uint32_t hr_image_seg_above(const struct hr_image *img, uint64_t addr)
{
    uint32_t lo = 0, hi = (uint32_t)img->segs.n;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (img->segs.v[mid].addr + img->segs.v[mid].msize > addr)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

/* For callers without a hint of their own. */
static const struct hr_segment *find_again(const struct hr_image *img, uint64_t addr)
{
    uint32_t *guess = hr_image_guess(img, addr), i = __atomic_load_n(guess, __ATOMIC_RELAXED);
    if (i < img->segs.n && addr - img->segs.v[i].addr < img->segs.v[i].msize)
        return &img->segs.v[i];
    i = hr_image_seg_above(img, addr);
    if (i >= img->segs.n || addr < img->segs.v[i].addr)
        return NULL;
    __atomic_store_n(guess, i, __ATOMIC_RELAXED);
    return &img->segs.v[i];
}

const struct hr_segment *hr_image_find(const struct hr_image *img, uint64_t addr, uint32_t *hint)
{
    if (!hint)
        return find_again(img, addr);
    if (hint && *hint < img->segs.n) {
        const struct hr_segment *s = &img->segs.v[*hint];
        if (addr - s->addr < s->msize)
            return s;
    }
    uint32_t i = hr_image_seg_above(img, addr);
    if (i >= img->segs.n || addr < img->segs.v[i].addr)
        return NULL;
    if (hint)
        *hint = i;
    return &img->segs.v[i];
}

struct hr_span hr_image_peek(const struct hr_image *img, uint64_t addr, uint64_t want)
{
    const struct hr_segment *s = hr_image_find(img, addr, NULL);
    if (!s || addr - s->addr >= s->bytes.n)
        return (struct hr_span){0};
    uint64_t off = addr - s->addr;
    return (struct hr_span){s->bytes.p + off, (size_t)hr_min(want, s->bytes.n - off)};
}

size_t hr_image_read(const struct hr_image *img, uint64_t addr, void *buf, size_t n)
{
    size_t done = 0;
    while (done < n) {
        uint64_t at;
        if (!hr_add(addr, done, &at))
            break;
        struct hr_span s = hr_image_peek(img, at, n - done);
        if (!s.n)
            break;
        memcpy((uint8_t *)buf + done, s.p, s.n);
        done += s.n;
    }
    return done;
}

bool hr_image_uint(const struct hr_image *img, uint64_t addr, unsigned bytes, uint64_t *ret)
{
    uint8_t buf[8];
    if (!bytes || bytes > 8)
        return false;
    struct hr_span s = hr_image_peek(img, addr, bytes);
    if (s.n < bytes) {
        if (hr_image_read(img, addr, buf, bytes) < bytes)
            return false;
        s.p = buf;
    }
    *ret = bytes == 8 ? hr_load64(s.p, img->big) : bytes == 4 ? hr_load32(s.p, img->big) : hr_load(s.p, bytes, img->big);
    return true;
}

bool hr_image_cstr(const struct hr_image *img, uint64_t addr, char *buf, size_t max)
{
    if (!max)
        return false;
    size_t got = hr_image_read(img, addr, buf, max - 1);
    buf[got] = 0;
    return got || max == 1;
}

/* Modules are kept in address order and disjoint (hr_image_arrange). */
uint32_t hr_image_module_at(const struct hr_image *img, uint64_t addr)
{
    size_t lo = 0, hi = img->modules.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (img->modules.v[mid].hi > addr)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo < img->modules.n && addr >= img->modules.v[lo].lo ? (uint32_t)lo : HR_NONE;
}
