/* FreeRTOS tasks. By symbol: the scheduler's lists (tasks.c: pxReadyTasksLists[], xDelayedTaskList1 and 2, xPendingReadyList,
 * xSuspendedTaskList, xTasksWaitingTermination) hold a list item inside each task's control block; its owner is the block.
 * Without symbols: a control block is where two list items name it as their owner, one item apart, and a stack follows.
 *
 * Layout by DWARF (tskTaskControlBlock, xLIST, xLIST_ITEM), else worked out from such a block: pxTopOfStack is its first member
 * by promise; [MPU settings, core affinity]; xStateListItem; xEventListItem; uxPriority; pxStack; [two words where there are
 * several cores]; pcTaskName. A list item is {value, next, previous, owner, container}, a list {count, index, end item};
 * configUSE_LIST_DATA_INTEGRITY_CHECK_BYTES puts a word around each of these. The same from V8 (xGenericListItem) to V11. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdio.h>
#include <string.h>

enum {
    NAME_MOST = 32,        /* configMAX_TASK_NAME_LEN is 16 by default; longer ones are cut */
    MAX_BEFORE = 48,       /* words between pxTopOfStack and the first list item: MPU settings */
    WAITING_NOTIFICATION = 1,
    MAX_NOTIFIES = 64,
};

struct layout {
    uint64_t w;
    uint64_t next, owner, container;         /* in a list item */
    uint64_t count, first;                   /* in a list: how many, the end item's `next` */
    uint64_t end_item, list_size;
    uint64_t state, event, priority, stack, name, name_len; /* in a control block */
    uint64_t end, number, base, notify, size; /* HR_NONE64: not there */
    uint64_t notifies;     /* how many states of notifications: configTASK_NOTIFICATION_ARRAY_ENTRIES */
};

struct lists {
    uint64_t addr, size;   /* of the variable: one list or an array of them */
    uint8_t state;         /* of the tasks on it */
};

static bool word(const struct hr_rtos *r, uint64_t at, uint64_t *ret) { return hr_image_word(r->image, at, ret); }

/* ---- layout ---- */

static const char *const tcb_types[] = {"tskTaskControlBlock", "tskTCB", "TCB_t"};

static const char *tcb_type(const struct hr_rtos *r)
{
    uint64_t off;
    for (size_t i = 0; i < sizeof tcb_types / sizeof *tcb_types; i++)
        if (hr_type_offset(r->types, tcb_types[i], "pxTopOfStack", &off))
            return tcb_types[i];
    return NULL;
}

static void list_layout(const struct hr_rtos *r, struct layout *l)
{
    uint64_t w = l->w = r->image->word;
    l->next = hr_rtos_offset(r, "xLIST_ITEM", "pxNext", w);
    l->owner = hr_rtos_offset(r, "xLIST_ITEM", "pvOwner", 3 * w);
    l->container = hr_rtos_offset(r, "xLIST_ITEM", "pxContainer", hr_rtos_offset(r, "xLIST_ITEM", "pvContainer", 4 * w));
    l->count = hr_rtos_offset(r, "xLIST", "uxNumberOfItems", 0);
    l->end_item = hr_rtos_offset(r, "xLIST", "xListEnd", 2 * w);
    l->first = l->end_item + l->next;
    hr_type t = hr_type_find(r->types, "xLIST");
    l->list_size = t ? hr_type_get(r->types, hr_type_strip(r->types, t))->size : 5 * w;
}

static bool by_dwarf(const struct hr_rtos *r, struct layout *l)
{
    const char *t = tcb_type(r);
    if (!t)
        return false;
    l->state = hr_rtos_offset(r, t, "xStateListItem", hr_rtos_offset(r, t, "xGenericListItem", HR_NONE64));
    l->event = hr_rtos_offset(r, t, "xEventListItem", HR_NONE64);
    l->priority = hr_rtos_offset(r, t, "uxPriority", HR_NONE64);
    l->stack = hr_rtos_offset(r, t, "pxStack", HR_NONE64);
    l->name = hr_rtos_offset(r, t, "pcTaskName", HR_NONE64);
    l->end = hr_rtos_offset(r, t, "pxEndOfStack", HR_NONE64);
    l->number = hr_rtos_offset(r, t, "uxTCBNumber", HR_NONE64);
    l->base = hr_rtos_offset(r, t, "uxBasePriority", HR_NONE64);
    l->notify = hr_rtos_offset(r, t, "ucNotifyState", hr_rtos_offset(r, t, "eNotifyState", HR_NONE64));
    hr_type id = hr_type_strip(r->types, hr_type_find(r->types, t));
    uint64_t off;
    const struct hr_field *f = hr_type_field(r->types, id, "pcTaskName", &off);
    l->name_len = f ? hr_type_get(r->types, hr_type_strip(r->types, f->type))->size : 0;
    l->name_len = l->name_len ? hr_min(l->name_len, NAME_MOST) : 16;
    f = hr_type_field(r->types, id, "ucNotifyState", &off);
    l->notifies = f ? hr_max(1, hr_min(hr_type_get(r->types, hr_type_strip(r->types, f->type))->size, MAX_NOTIFIES)) : 1;
    l->size = hr_type_get(r->types, id)->size;
    return l->state != HR_NONE64 && l->event != HR_NONE64 && l->stack != HR_NONE64 && l->name != HR_NONE64;
}

static bool is_name(const struct hr_rtos *r, uint64_t at)
{
    uint64_t c;
    unsigned n = 0;
    while (n < NAME_MOST && hr_image_uint(r->image, at + n, 1, &c) && c >= ' ' && c <= '~')
        n++;
    return n && hr_image_uint(r->image, at + n, 1, &c) && !c;
}

/* What a control block at `tcb` looks like, if there is one: from its two owners on. */
static bool by_shape(const struct hr_rtos *r, uint64_t tcb, struct layout *l)
{
    uint64_t w = l->w, v, a = 0, b = 0;
    for (uint64_t k = 4; k < MAX_BEFORE && !a; k++)
        if (word(r, tcb + k * w, &v) && v == tcb)
            a = k;
    for (uint64_t k = a + 5; a && k <= a + 7 && !b; k++)
        if (word(r, tcb + k * w, &v) && v == tcb)
            b = k;
    if (!b)
        return false;
    uint64_t check = b - a == 7 ? 1 : 0; /* integrity words */
    l->next = (1 + check) * w;
    l->owner = (3 + check) * w;
    l->container = (4 + check) * w;
    l->state = a * w - l->owner;
    l->event = b * w - l->owner;
    l->priority = l->event + (b - a) * w;
    l->stack = l->priority + w;
    l->name = is_name(r, tcb + l->stack + w) ? l->stack + w : l->stack + 3 * w;
    l->name_len = NAME_MOST;
    l->end = l->number = l->base = l->notify = HR_NONE64;
    l->size = 0;
    l->count = check * w;
    l->end_item = (2 + check) * w;
    l->first = l->end_item + l->next;
    l->list_size = (5 + 4 * check) * w;
    return true;
}

/* ---- one task ---- */

static bool plausible(const struct hr_rtos *r, const struct layout *l, uint64_t tcb, struct hr_task *t)
{
    uint64_t owner, event, sp, stack, prio = 0;
    if (tcb & (l->w - 1) || !word(r, tcb + l->state + l->owner, &owner) || owner != tcb || !word(r, tcb, &sp) ||
        !word(r, tcb + l->stack, &stack) || !stack || stack & (l->w - 1))
        return false;
    if (!word(r, tcb + l->event + l->owner, &event) || event != tcb || (l->priority != HR_NONE64 && !word(r, tcb + l->priority, &prio)))
        return false;
    const struct hr_segment *s = hr_image_find(r->image, stack, NULL);
    if (s && (!(s->flags & HR_SEG_W) || sp - s->addr > s->bytes.n))
        return false;
    *t = (struct hr_task){.tcb = tcb, .tcb_size = l->size, .sp = sp, .stack_lo = stack, .priority = prio, .has_priority = l->priority != HR_NONE64};
    return prio < 1024 && sp >= stack - hr_min(stack, 4096) && sp - stack < 64 << 20; /* an overflow may be a little below */
}

static enum hr_status add(struct hr_rtos *r, const struct layout *l, uint64_t tcb, uint8_t state)
{
    struct hr_task t;
    uint64_t v;
    if (!plausible(r, l, tcb, &t))
        return HR_ABSENT;
    t.state = state;
    if (word(r, tcb + l->event + l->container, &v))
        t.waits_in = v;
    hr_rtos_text(r, tcb + l->name, (unsigned)l->name_len, &t.name);
    if (l->end != HR_NONE64 && word(r, tcb + l->end, &v) && v > t.stack_lo && v - t.stack_lo < 64 << 20)
        t.stack_hi = (v + 2 * l->w) & ~(2 * l->w - 1);
    if (l->base != HR_NONE64 && word(r, tcb + l->base, &t.base_priority))
        t.has_base = true;
    if (l->number != HR_NONE64 && word(r, tcb + l->number, &v) && v < UINT32_MAX)
        t.number = (uint32_t)v;
    return hr_rtos_add(r, t);
}

/* Does the task stand in a function that waits for a notification? (Where debug information does not say where its state is kept.) */
static bool waits_in_code(const struct hr_rtos *r, uint64_t tcb)
{
    static const char *const names[] = {"ulTaskGenericNotifyTake", "xTaskGenericNotifyWait", "ulTaskNotifyTake", "xTaskNotifyWait"};
    struct hr_thread th = {0};
    uint64_t sp, off;
    if (!word(r, tcb, &sp) || !(hr_rtos_cortex_m(r, 0, sp, &th) || hr_rtos_riscv(r, tcb, sp, &th)))
        return false;
    uint64_t lr = strcmp(r->image->arch->name, "arm") ? th.reg[1] : th.reg[14], at[] = {th.pc, (lr & ~1ull) - 2}; /* it may stand in the yield */
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        const struct hr_sym *s = hr_sym_at(r->types, at[i], &off);
        for (size_t k = 0; s && s->size && off < s->size && k < sizeof names / sizeof *names; k++)
            if (!strcmp(s->name, names[k]))
                return true;
    }
    return false;
}

/* Waiting without a time limit is in the kernel's list of suspended tasks: it is blocked if an event list holds it or it waits for
 * a notification (eTaskGetState()). */
static uint8_t state_of(const struct hr_rtos *r, const struct layout *l, uint64_t tcb, uint8_t listed)
{
    uint64_t v;
    if (listed != HR_TASK_SUSPENDED)
        return listed;
    if (word(r, tcb + l->event + l->container, &v) && v)
        return HR_TASK_BLOCKED;
    if (l->notify == HR_NONE64)
        return waits_in_code(r, tcb) ? HR_TASK_BLOCKED : HR_TASK_SUSPENDED;
    for (uint64_t i = 0; i < l->notifies; i++)
        if (hr_image_uint(r->image, tcb + l->notify + i, 1, &v) && v == WAITING_NOTIFICATION)
            return HR_TASK_BLOCKED;
    return HR_TASK_SUSPENDED;
}

/* ---- by the scheduler's lists ---- */

static enum hr_status one_list(struct hr_rtos *r, const struct layout *l, uint64_t list, uint8_t state)
{
    uint64_t n, item, owner, end = list + l->end_item;
    if (!word(r, list + l->count, &n) || n > HR_RTOS_MAX_TASKS || !word(r, list + l->first, &item))
        return HR_OK;
    /* Each item that is no task's ends the walk: the list is damaged. */
    for (uint64_t i = 0; i < n && item && item != end; i++) {
        bool event = state == HR_TASK_READY && word(r, item + l->owner, &owner) && owner + l->event == item; /* the pending list holds event items */
        if (!word(r, item + l->owner, &owner) || (owner + l->state != item && !event)) {
            hr_note_at(r->notes, HR_NOTE_DAMAGE, "rtos.list", item, "the scheduler's list at 0x%llx leads to 0x%llx, where no task is: tasks behind it are missing",
                       (unsigned long long)list, (unsigned long long)item);
            break;
        }
        enum hr_status st = add(r, l, owner, state_of(r, l, owner, state));
        if (st != HR_OK && st != HR_ABSENT)
            return st;
        if (st == HR_ABSENT && !hr_rtos_task(r, owner))
            hr_note_at(r->notes, HR_NOTE_DAMAGE, "rtos.task", owner, "the control block at 0x%llx is on a list of the scheduler and makes no sense: it was written over",
                       (unsigned long long)owner);
        if (!word(r, item + l->next, &item))
            break;
    }
    return HR_OK;
}

static enum hr_status by_lists(struct hr_rtos *r, const struct layout *l)
{
    static const struct { const char *name; uint8_t state; } names[] = {
        {"xPendingReadyList", HR_TASK_READY}, {"pxReadyTasksLists", HR_TASK_READY}, {"xDelayedTaskList1", HR_TASK_BLOCKED},
        {"xDelayedTaskList2", HR_TASK_BLOCKED}, {"xSuspendedTaskList", HR_TASK_SUSPENDED}, {"xTasksWaitingTermination", HR_TASK_DELETED},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        uint64_t size = 0, at = hr_rtos_symbol(r, names[i].name, &size);
        for (uint64_t off = 0; at && off + l->list_size <= hr_max(size, l->list_size) && off < l->list_size * 1024; off += l->list_size)
            HR_TRY(one_list(r, l, at + off, names[i].state));
    }
    return HR_OK;
}

/* pxCurrentTCB, or an array of it with a place per core. */
static void current(struct hr_rtos *r)
{
    uint64_t size = 0, at = hr_rtos_symbol(r, "pxCurrentTCB", &size), w = r->image->word;
    if (!at)
        at = hr_rtos_symbol(r, "pxCurrentTCBs", &size);
    for (uint64_t off = 0; at && off + w <= hr_max(size, w) && r->ncurrent < sizeof r->current / sizeof *r->current; off += w)
        if (word(r, at + off, &r->current[r->ncurrent]) && r->current[r->ncurrent])
            r->ncurrent++;
}

static enum hr_status by_symbols(struct hr_rtos *r)
{
    struct layout l;
    current(r);
    list_layout(r, &l);
    if (!r->ncurrent || (!by_dwarf(r, &l) && !by_shape(r, r->current[0], &l)))
        return HR_ABSENT;
    HR_TRY(by_lists(r, &l));
    for (uint32_t i = 0; i < r->ncurrent; i++) {
        enum hr_status st = add(r, &l, r->current[i], HR_TASK_RUNNING);
        if (st != HR_OK && st != HR_ABSENT)
            return st;
        struct hr_task *t = hr_rtos_task(r, r->current[i]);
        if (t && t->state == HR_TASK_READY)
            t->state = HR_TASK_RUNNING;
    }
    return r->tasks.n ? HR_OK : HR_ABSENT;
}

/* ---- by shape ---- */

/* The item is in a list whose neighbours know it: no remains of a task that was. */
static bool listed(const struct hr_rtos *r, const struct layout *l, uint64_t tcb)
{
    uint64_t item = tcb + l->state, next, prev, back, list;
    return word(r, item + l->next, &next) && word(r, item + l->next + l->w, &prev) && word(r, next + l->next + l->w, &back) && back == item &&
           word(r, prev + l->next, &back) && back == item && word(r, item + l->container, &list) && list;
}

/* Where the heap is not known: a stack from FreeRTOS' own heap has heap_4's link in front of it, {no next, size with the top bit}. */
static uint64_t heap_end(const struct hr_rtos *r, uint64_t lo)
{
    uint64_t w = r->image->word, next, size, top = 1ull << (8 * w - 1);
    if (!word(r, lo - 2 * w, &next) || next || !word(r, lo - w, &size) || !(size & top))
        return 0;
    size &= ~top;
    return size > 8 * w && size < 1 << 20 && !(size & (2 * w - 1)) ? lo - 2 * w + size : 0;
}

static enum hr_status try_shape(struct hr_rtos *r, uint64_t tcb)
{
    struct layout l;
    struct hr_task t;
    hr_id in = hr_heap_at(r->heap, tcb, NULL);
    list_layout(r, &l);
    if ((in != HR_NONE && r->heap->state[in] != HR_USED) || !by_shape(r, tcb, &l) || !is_name(r, tcb + l.name) || !plausible(r, &l, tcb, &t) ||
        t.sp < t.stack_lo || t.sp - t.stack_lo > 1 << 20 || !listed(r, &l, tcb))
        return HR_OK;
    enum hr_status st = add(r, &l, tcb, HR_TASK_UNKNOWN);
    if (st == HR_OK && !r->tasks.v[r->tasks.n - 1].stack_hi)
        r->tasks.v[r->tasks.n - 1].stack_hi = heap_end(r, t.stack_lo);
    return st == HR_ABSENT ? HR_OK : st;
}

/* Every word that is the address of a place a few words in front of it may be the owner of a state list item. */
static enum hr_status by_search(struct hr_rtos *r)
{
    const struct hr_image *img = r->image;
    uint64_t w = img->word;
    enum { SMALL = 64 << 20 /* more memory than a machine with such a kernel has */ };
    if (img->dumped_bytes > SMALL)
        return HR_ABSENT;
    for (size_t s = 0; s < img->segs.n; s++) {
        const struct hr_segment *seg = &img->segs.v[s];
        uint64_t last = 0;
        for (uint64_t off = -seg->addr & (w - 1); seg->flags & HR_SEG_W && off + w <= seg->bytes.n; off += w) {
            uint64_t v = hr_word_load(seg->bytes.p + off, (unsigned)w, img->big), at = seg->addr + off;
            if (at - v < 4 * w || at - v >= MAX_BEFORE * w || v & (w - 1) || v == last)
                continue;
            last = v;
            HR_TRY(try_shape(r, v));
        }
    }
    return r->tasks.n >= 2 ? HR_OK : HR_ABSENT; /* a kernel has an idle task beside any other */
}

/* Who runs is the one on whose stack the registers' stack pointer is. */
static void running_by_sp(struct hr_rtos *r)
{
    for (size_t i = 0; i < r->tasks.n && r->image->threads.n; i++) {
        struct hr_task *t = &r->tasks.v[i];
        uint64_t end = hr_rtos_stack_end(r, t->stack_lo), sp = r->image->threads.v[0].sp;
        if (end != HR_NONE64 && sp >= t->stack_lo && sp < end) {
            t->state = HR_TASK_RUNNING;
            r->current[0] = t->tcb;
            r->ncurrent = 1;
        }
    }
}

static void version(struct hr_rtos *r)
{
    uint64_t at = hr_rtos_symbol(r, "tskKERNEL_VERSION_NUMBER", NULL);
    hr_str s = 0;
    if (at && hr_rtos_text(r, at, 24, &s))
        snprintf(r->version, sizeof r->version, "%s", hr_strs_get(r->image->strs, s));
}

enum hr_status hr_freertos_find(struct hr_rtos *r)
{
    r->kernel = "FreeRTOS"; /* what follows asks */
    enum hr_status st = by_symbols(r);
    bool symbols = st == HR_OK;
    if (st == HR_ABSENT) {
        r->ncurrent = 0;
        st = by_search(r);
    }
    if (st != HR_OK) {
        r->tasks.n = st == HR_ABSENT ? 0 : r->tasks.n;
        return st;
    }
    HR_TRY(hr_freertos_objects(r));
    r->tcb_type = tcb_type(r) ? hr_type_strip(r->types, hr_type_find(r->types, tcb_type(r))) : 0;
    version(r);
    if (symbols) {
        snprintf(r->evidence, sizeof r->evidence, "%zu tasks on the scheduler's lists, by symbol%s", r->tasks.n, tcb_type(r) ? " and debug information" : "");
    } else {
        running_by_sp(r);
        snprintf(r->evidence, sizeof r->evidence, "%zu control blocks whose list items name them as owner, by shape: states are not known", r->tasks.n);
    }
    return HR_OK;
}
