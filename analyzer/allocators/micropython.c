/* MicroPython's collected heap: every allocation (a HEAD block and its TAILs) is one used block, a run of FREE one free block. */
#include <stdio.h>
#include <string.h>

#include "analyzer/allocators/allocators.h"
#include "analyzer/allocators/micropython/mpy.h"

struct micropython {
    struct hr_mpy m;
    struct hr_notes *notes;
    uint32_t arena[HR_MPY_MAX_AREAS];
    bool marks_said;
};

static void say(struct micropython *a, const struct hr_mpy_area *ar, uint32_t arena, struct hr_builder *b, uint64_t at, enum hr_mpy_kind k)
{
    if (k == HR_MPY_UNKNOWN)
        hr_note_at(a->notes, HR_NOTE_DEGRADED, "heap.not_captured", ar->table, "part of the allocation table at 0x%llx is not in the image: "
                   "the blocks it describes are unknown", (unsigned long long)ar->table);
    else
        hr_note_at(a->notes, HR_NOTE_DAMAGE, "heap.corrupt.micropython_tail", at,
                   "the allocation table says that the block at 0x%llx continues one that is free: nothing is known of it", (unsigned long long)at);
    hr_builder_arena_at(b, arena)->corrupt = true;
}

static void say_mark(struct micropython *a, uint64_t at)
{
    if (!a->marks_said)
        hr_note_at(a->notes, HR_NOTE_DEGRADED, "heap.collecting", at,
                   "blocks are marked: the image was taken while MicroPython was collecting garbage, they count as used");
    a->marks_said = true;
}

static enum hr_status walk(void *self, uint64_t i, struct hr_builder *b)
{
    struct micropython *a = self;
    const struct hr_mpy_area *ar = &a->m.area[i];
    uint64_t n = hr_mpy_blocks(ar), at = 0;
    while (at < n) {
        enum hr_mpy_kind k = hr_mpy_kind(&a->m, ar, at);
        uint64_t run = 1, addr = ar->pool + at * ar->block;
        if (k == HR_MPY_FREE) {
            while (at + run < n && hr_mpy_kind(&a->m, ar, at + run) == HR_MPY_FREE)
                run++;
            HR_TRY(hr_emit(b, addr, run * ar->block, HR_FREE));
        } else if (k == HR_MPY_HEAD || k == HR_MPY_MARK) {
            run = hr_mpy_extent(&a->m, ar, at);
            if (k == HR_MPY_MARK) {
                hr_builder_arena_at(b, a->arena[i])->collecting = true;
                say_mark(a, addr);
            }
            HR_TRY(hr_emit(b, addr, run * ar->block, HR_USED));
        } else {
            say(a, ar, a->arena[i], b, addr, k);
            while (at + run < n && hr_mpy_kind(&a->m, ar, at + run) == k)
                run++;
        }
        at += run;
    }
    return HR_OK;
}

/* Says what of the heap the image does not hold; its blocks are known, what is in them is not. */
static void say_missing(struct hr_image *img, const struct hr_mpy_area *ar)
{
    uint64_t at = ar->pool;
    while (at < ar->end) {
        struct hr_span s = hr_image_peek(img, at, ar->end - at);
        if (!s.n)
            break;
        at += s.n;
    }
    if (at == ar->end)
        return;
    img->complete = false;
    img->missing_bytes += ar->end - at;
    hr_note_at(img->notes, HR_NOTE_DEGRADED, "core.truncated", at, "from 0x%llx on the heap (to 0x%llx) was not captured: what its blocks hold is unknown",
               (unsigned long long)at, (unsigned long long)ar->end);
}

static enum hr_status declare(struct micropython *a, struct hr_image *img, struct hr_builder *b)
{
    const struct hr_mpy_area *first = &a->m.area[0];
    struct hr_allocator_info info = {.name = "micropython", .stat_in_use = HR_NONE64, .stat_free = HR_NONE64};
    uint16_t id;
    snprintf(info.version, sizeof info.version, "%s", first->long_lived ? "CircuitPython 8 or earlier" : first->scanned ? "CircuitPython 10 or later" : !first->finalisers ? "" : first->gap ? "1.20 or later" : "1.19 or earlier");
    snprintf(info.evidence, sizeof info.evidence, "%u area%s: the words at 0x%llx describe a table and a pool that fit each other", a->m.n,
             a->m.n == 1 ? "" : "s", (unsigned long long)first->at);
    HR_TRY(hr_builder_allocator(b, &info, first->block == 16 ? 4 : 5, &id));
    for (uint32_t i = 0; i < a->m.n; i++) {
        const struct hr_mpy_area *ar = &a->m.area[i];
        hr_str name;
        say_missing(img, ar);
        HR_TRY(hr_strs_addf(img->strs, &name, "micropython area %u (0x%llx)", i, (unsigned long long)ar->pool));
        HR_TRY(hr_builder_arena(b, &(struct hr_arena){.name = name, .allocator = id, .addr = ar->at, .middle = ar->long_lived}, &a->arena[i]));
        if (ar->mended) {
            hr_note_at(a->notes, HR_NOTE_DAMAGE, "heap.corrupt.micropython_area", ar->mended, "the word at 0x%llx contradicts the others that describe the "
                       "heap: it is read as they say it has to be", (unsigned long long)ar->mended);
            hr_builder_arena_at(b, a->arena[i])->corrupt = true;
        }
        HR_TRY(hr_builder_own(b, ar->table, ar->pool - ar->table));
        HR_TRY(hr_builder_own(b, ar->at, (4u + !!ar->finalisers + !!ar->scanned + !!ar->long_lived) * img->word));
        HR_TRY(hr_builder_region(b, ar->pool, ar->end - ar->pool, a->arena[i], walk, a, i));
    }
    return HR_OK;
}

/* Does the program itself, not what it works on, speak of MicroPython? */
static bool program_says(const struct hr_image *img)
{
    for (size_t i = 0; i < img->segs.n; i++) {
        const struct hr_segment *s = &img->segs.v[i];
        if (s->module == HR_NONE || !img->modules.v[s->module].main_exe || !s->bytes.n)
            continue;
        if (memmem(s->bytes.p, s->bytes.n, "MicroPython", 11) || memmem(s->bytes.p, s->bytes.n, "CircuitPython", 13))
            return true;
    }
    return false;
}

/* A microcontroller has few words that can be written, and so has a small process (MicroPython's unix port; the C library reserves 64 MiB
 * without access for each of its threads, which some dumps hold as zeros): all are read. In a large process only what may be a program's
 * data is, unless the program says what it is. */
static bool worth_all(const struct hr_allocator_in *in)
{
    enum { SMALL_PROCESS = 64 << 20 };
    const struct hr_image *img = in->image;
    uint64_t written = 0;
    for (size_t i = 0; i < img->segs.n; i++)
        written += img->segs.v[i].flags & HR_SEG_W ? img->segs.v[i].bytes.n : 0;
    return strcmp(img->format, "elf-core") || img->bare || written <= SMALL_PROCESS ||
           (in->types && hr_sym_find(in->types, "mp_state_ctx", HR_NONE)) || program_says(img);
}

static enum hr_status open(struct hr_allocator_in *in, void **self_ret)
{
    struct micropython *a = hr_zalloc(1, sizeof *a);
    if (!a)
        return HR_NOMEM;
    a->notes = in->notes;
    enum hr_status st = hr_mpy_find(in->image, worth_all(in), &a->m);
    if (st == HR_OK)
        st = declare(a, in->image, in->builder);
    if (st != HR_OK) {
        hr_free(a);
        return st;
    }
    *self_ret = a;
    return HR_OK;
}

const struct hr_allocator hr_allocator_micropython = {.name = "micropython", .open = open, .close = hr_free};
