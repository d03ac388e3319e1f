/* ThreadX threads: every control block begins with the word 'THRD' (tx_thread_id, cleared by tx_thread_delete()), its stack's start,
 * end and size agree with each other: they are found by that, with or without symbols.
 *
 * tx_api.h, TX_THREAD (the same from 5.x to 6.x): id, run count, stack pointer, stack start, end (the last byte), size, two time
 * slices, ready next and previous, [extension 0 of the port], name, priority, state. ULONG has 4 bytes, on some 64-bit ports (risc-v64) 8; pointers are
 * words. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdio.h>
#include <string.h>

enum { THRD = 0x54485244, QUEUE = 5, MAX_STATE = 14 };

struct layout { uint64_t sp, start, end, size, name, priority, state, object, total; };

static void layout(struct hr_rtos *r, unsigned ulong_, struct layout *l)
{
    uint64_t w = r->image->word, at = 2 * ulong_; /* behind id and run count */
    const char *t = "TX_THREAD_STRUCT";
    l->sp = hr_rtos_offset(r, t, "tx_thread_stack_ptr", at);
    l->start = hr_rtos_offset(r, t, "tx_thread_stack_start", at + w);
    l->end = hr_rtos_offset(r, t, "tx_thread_stack_end", at + 2 * w);
    l->size = hr_rtos_offset(r, t, "tx_thread_stack_size", at + 3 * w);
    at += 3 * w + 3 * ulong_;
    at = (at + w - 1) & ~(w - 1);
    l->name = hr_rtos_offset(r, t, "tx_thread_name", at + 2 * w);
    l->priority = hr_rtos_offset(r, t, "tx_thread_priority", l->name + w);
    l->state = hr_rtos_offset(r, t, "tx_thread_state", l->priority + 4);
    l->object = hr_rtos_offset(r, t, "tx_thread_suspend_control_block", HR_NONE64);
    hr_type id = hr_type_strip(r->types, hr_type_find(r->types, t));
    r->tcb_type = id;
    l->total = id ? hr_type_get(r->types, id)->size : 0;
}

/* tx_api.h: TX_READY 0, COMPLETED, TERMINATED, SUSPENDED 3, SLEEP 4, then what it waits for. */
static void state(struct hr_rtos *r, const struct layout *l, struct hr_task *t, uint64_t v)
{
    static const char *const waits[MAX_STATE + 1] = {
        [4] = "sleep", [5] = "queue", [6] = "semaphore", [7] = "event flags", [8] = "block pool", [9] = "byte pool", [10] = "driver",
        [11] = "file", [12] = "TCP/IP", [13] = "mutex",
    };
    t->state = v == 0 ? HR_TASK_READY : v <= 2 ? HR_TASK_DELETED : v == 3 ? HR_TASK_SUSPENDED : v <= MAX_STATE ? HR_TASK_BLOCKED : HR_TASK_UNKNOWN;
    if (v > MAX_STATE || !waits[v])
        return;
    /* Every object begins with {id, name}. */
    uint64_t w = r->image->word, at, name;
    hr_str text = 0;
    bool named = v >= QUEUE && l->object != HR_NONE64 && hr_image_word(r->image, t->tcb + l->object, &at) && hr_image_word(r->image, at + w, &name) &&
                 hr_rtos_text(r, name, 32, &text);
    if (hr_strs_addf(r->image->strs, &t->waits, "%s%s%s", waits[v], named ? " " : "", named ? hr_strs_get(r->image->strs, text) : "") != HR_OK)
        t->waits = 0;
}

static enum hr_status try(struct hr_rtos *r, const struct layout *l, uint64_t tcb)
{
    const struct hr_image *img = r->image;
    uint64_t sp, start, end, size, name, v;
    if (!hr_image_word(img, tcb + l->sp, &sp) || !hr_image_word(img, tcb + l->start, &start) || !hr_image_word(img, tcb + l->end, &end) ||
        !hr_image_uint(img, tcb + l->size, 4, &size) || !hr_image_word(img, tcb + l->name, &name))
        return HR_OK;
    if (!start || size < 32 || size > 64 << 20 || end != start + size - 1 || sp + 4096 < start || sp > start + size)
        return HR_OK;
    struct hr_task t = {.tcb = tcb, .tcb_size = l->total, .sp = sp, .stack_lo = start, .stack_hi = start + size, .exact_end = true};
    hr_rtos_text(r, name, 64, &t.name);
    if (hr_image_uint(img, tcb + l->priority, 4, &v) && v < 1024) {
        t.priority = v;
        t.has_priority = true;
    }
    if (hr_image_uint(img, tcb + l->state, 4, &v))
        state(r, l, &t, v);
    enum hr_status st = hr_rtos_add(r, t);
    return st == HR_ABSENT ? HR_OK : st;
}

static enum hr_status search(struct hr_rtos *r, unsigned ulong_)
{
    const struct hr_image *img = r->image;
    struct layout l;
    layout(r, ulong_, &l);
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        for (uint64_t off = -seg->addr & 3; seg->flags & HR_SEG_W && off + 4 <= seg->bytes.n; off += 4)
            if (hr_load32(seg->bytes.p + off, img->big) == THRD)
                HR_TRY(try(r, &l, seg->addr + off));
    }
    return r->tasks.n ? HR_OK : HR_ABSENT;
}

enum hr_status hr_threadx_find(struct hr_rtos *r)
{
    enum { SMALL = 64 << 20 };
    uint64_t at, cur = 0;
    hr_str s = 0;
    if (r->image->dumped_bytes > SMALL && !hr_rtos_symbol(r, "_tx_thread_current_ptr", NULL))
        return HR_ABSENT;
    enum hr_status st = search(r, 4);
    if (st == HR_ABSENT && r->image->word == 8)
        st = search(r, 8);
    HR_TRY(st);
    r->kernel = "ThreadX";
    if (hr_rtos_word(r, "_tx_thread_current_ptr", &cur) && cur) {
        r->current[r->ncurrent++] = cur;
    } else if (r->image->threads.n) {
        for (size_t i = 0; i < r->tasks.n; i++) {
            uint64_t sp = r->image->threads.v[0].sp;
            if (sp >= r->tasks.v[i].stack_lo && sp < r->tasks.v[i].stack_hi)
                r->current[0] = r->tasks.v[i].tcb, r->ncurrent = 1;
        }
    }
    struct hr_task *t = r->ncurrent ? hr_rtos_task(r, r->current[0]) : NULL;
    if (t && t->state == HR_TASK_READY)
        t->state = HR_TASK_RUNNING;
    at = hr_rtos_symbol(r, "_tx_version_id", NULL);
    if (at && hr_rtos_text(r, at, 120, &s)) { /* "… ThreadX Cortex-M3/GNU Version 6.4.1 *" */
        const char *v = strstr(hr_strs_get(r->image->strs, s), "Version ");
        if (v)
            snprintf(r->version, sizeof r->version, "%.*s", (int)strcspn(v + 8, " *"), v + 8);
    }
    snprintf(r->evidence, sizeof r->evidence, "%zu control blocks that begin with 'THRD' and whose stacks agree", r->tasks.n);
    return HR_OK;
}
