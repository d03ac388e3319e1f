/* FreeRTOS' objects in the heap: queues and what is made of them, event groups, timers. Known by the lists inside them: an empty
 * list's end item points at itself, one that is not empty leads to items whose container it is.
 *
 * queue.c (the same from V8 to V11): QueueDefinition {pcHead, pcWriteTo, two words, xTasksWaitingToSend, xTasksWaitingToReceive,
 * uxMessagesWaiting, uxLength, uxItemSize, …}; no storage is a semaphore (uxItemSize 0), pcHead NULL a mutex.
 * event_groups.c: {uxEventBits, xTasksWaitingForBits, …}. timers.c: {pcTimerName, xTimerListItem, period, [reload,] id, callback, …};
 * who owns its item is noted only when it is first started. stream_buffer.c (since V10): {xTail, xHead, xLength, xTriggerLevelBytes,
 * the tasks that wait to receive and to send, pucBuffer, …, ucFlags}, and behind it in the same block its storage; one byte of that is
 * never used. */
#include "analyzer/runtimes/rtos/rtos.h"

#include <stdio.h>
#include <string.h>

struct shape {
    uint64_t w, list;               /* bytes of a list */
    uint64_t send, receive, waiting, length, item_size, type; /* in a queue; type HR_NONE64 when it is not kept */
    uint64_t bits_list;             /* in an event group */
    uint64_t item, item_owner, item_container, callback; /* in a timer; callback HR_NONE64: not known */
    uint64_t buffer, flags;         /* in a stream buffer; flags HR_NONE64: not known */
};

enum { FLAG_MESSAGES = 1 /* stream_buffer.c: sbFLAGS_IS_MESSAGE_BUFFER */ };

static bool word(const struct hr_rtos *r, uint64_t at, uint64_t *ret) { return hr_image_word(r->image, at, ret); }

static void shape_of(const struct hr_rtos *r, struct shape *s)
{
    uint64_t w = s->w = r->image->word;
    hr_type t = hr_type_find(r->types, "xLIST");
    s->list = t ? hr_type_get(r->types, hr_type_strip(r->types, t))->size : 5 * w;
    s->send = hr_rtos_offset(r, "QueueDefinition", "xTasksWaitingToSend", 4 * w);
    s->receive = hr_rtos_offset(r, "QueueDefinition", "xTasksWaitingToReceive", s->send + s->list);
    s->waiting = hr_rtos_offset(r, "QueueDefinition", "uxMessagesWaiting", s->receive + s->list);
    s->length = hr_rtos_offset(r, "QueueDefinition", "uxLength", s->waiting + w);
    s->item_size = hr_rtos_offset(r, "QueueDefinition", "uxItemSize", s->length + w);
    s->type = hr_rtos_offset(r, "QueueDefinition", "ucQueueType", HR_NONE64);
    s->bits_list = hr_rtos_offset(r, "EventGroupDef_t", "xTasksWaitingForBits", hr_rtos_offset(r, "xEventGroupDefinition", "xTasksWaitingForBits", w));
    s->item = hr_rtos_offset(r, "tmrTimerControl", "xTimerListItem", w);
    s->item_owner = s->item + hr_rtos_offset(r, "xLIST_ITEM", "pvOwner", 3 * w);
    s->callback = hr_rtos_offset(r, "tmrTimerControl", "pxCallbackFunction", HR_NONE64);
    s->buffer = hr_rtos_offset(r, "StreamBufferDef_t", "pucBuffer", 6 * w);
    s->flags = hr_rtos_offset(r, "StreamBufferDef_t", "ucFlags", HR_NONE64);
    s->item_container = s->item + hr_rtos_offset(r, "xLIST_ITEM", "pxContainer", hr_rtos_offset(r, "xLIST_ITEM", "pvContainer", 4 * w));
}

/* A list that agrees with itself: {count, index, end item {value, next, previous}}. */
static bool is_list(const struct hr_rtos *r, const struct shape *s, uint64_t at)
{
    uint64_t w = s->w, n, index, value, next, prev, in;
    uint64_t check = s->list == 9 * w ? w : 0;
    at += check;
    if (!word(r, at, &n) || !word(r, at + w, &index) || !word(r, at + 2 * w + check, &value) || !word(r, at + 3 * w + check, &next) ||
        !word(r, at + 4 * w + check, &prev) || n > HR_RTOS_MAX_TASKS)
        return false;
    uint64_t end = at + 2 * w, max = w == 8 ? UINT64_MAX : UINT32_MAX;
    if (value != max && (uint32_t)value != UINT32_MAX && (value & 0xffff) != 0xffff)
        return false;
    if (!n)
        return next == end && prev == end && index == end;
    return next != end && prev != end && word(r, next + 4 * w + check, &in) && in == at - check;
}

/* ---- queues ---- */

/* The name under which it was registered for debuggers: xQueueRegistry, an array of {name, handle}. */
static hr_str registered(const struct hr_rtos *r, uint64_t addr)
{
    uint64_t size = 0, at = hr_rtos_symbol(r, "xQueueRegistry", &size), w = r->image->word, name, handle;
    hr_str s = 0;
    for (uint64_t off = 0; at && off + 2 * w <= size && off < 1024 * w; off += 2 * w)
        if (word(r, at + off, &name) && word(r, at + off + w, &handle) && handle == addr && name && hr_rtos_text(r, name, 32, &s))
            return s;
    return 0;
}

static const char *kind_of_queue(const struct hr_rtos *r, const struct shape *s, uint64_t at, uint64_t head, uint64_t length, uint64_t item)
{
    /* queue.h: queueQUEUE_TYPE_BASE, _MUTEX, _COUNTING_SEMAPHORE, _BINARY_SEMAPHORE, _RECURSIVE_MUTEX; 5 a queue set in new kernels */
    static const char *const types[] = {"queue", "mutex", "counting semaphore", "binary semaphore", "recursive mutex", "queue set"};
    uint64_t v;
    if (s->type != HR_NONE64 && hr_image_uint(r->image, at + s->type, 1, &v) && v < 6)
        return v || item ? types[v] : "semaphore";
    return item ? "queue" : !head ? "mutex" : length == 1 ? "binary semaphore" : "counting semaphore";
}

static bool queue(struct hr_rtos *r, const struct shape *s, hr_id id, uint64_t at, uint64_t size, enum hr_status *st)
{
    uint64_t head, n, length, item;
    if (size < s->item_size + s->w || !is_list(r, s, at + s->send) || !is_list(r, s, at + s->receive) || !word(r, at, &head) ||
        !word(r, at + s->waiting, &n) || !word(r, at + s->length, &length) || !word(r, at + s->item_size, &item) || !length || n > length)
        return false;
    uint64_t storage;
    if (!hr_mul(length, item, &storage) || storage > size)
        return false;
    const char *kind = kind_of_queue(r, s, at, head, length, item);
    hr_str reg = registered(r, at);
    char name[48] = "";
    if (reg)
        snprintf(name, sizeof name, " %.40s", hr_strs_get(r->image->strs, reg));
    *st = item ? hr_rtos_object(r, id, "QueueDefinition", "FreeRTOS %s%s (%llu x %llu bytes)", kind, name, (unsigned long long)length, (unsigned long long)item)
               : hr_rtos_object(r, id, "QueueDefinition", "FreeRTOS %s%s", kind, name);
    return true;
}

/* ---- timers, event groups, stream buffers ---- */

/* A timer that was never started: in no list, a name, and a function to call. */
static bool never_started(const struct hr_rtos *r, const struct shape *s, uint64_t at, uint64_t name)
{
    uint64_t after = s->item_container + s->w, v;
    hr_str text;
    if (!name || !hr_rtos_text(r, name, 32, &text))
        return false;
    if (s->callback != HR_NONE64)
        return word(r, at + s->callback, &v) && hr_rtos_in_code(r, v);
    for (unsigned k = 2; k <= 3; k++) /* behind the period, and the flag of old kernels */
        if (word(r, at + after + k * s->w, &v) && hr_rtos_in_code(r, v))
            return true;
    return false;
}

static bool timer(struct hr_rtos *r, const struct shape *s, hr_id id, uint64_t at, uint64_t size, enum hr_status *st)
{
    uint64_t owner, name, list;
    hr_str text = 0;
    if (size < s->item_container + 3 * s->w || size > 32 * s->w || !word(r, at + s->item_owner, &owner) || !word(r, at, &name) ||
        !word(r, at + s->item_container, &list) || hr_rtos_task(r, at) || (owner != at && (list || !never_started(r, s, at, name))))
        return false;
    if (list && !is_list(r, s, list))
        return false;
    *st = name && hr_rtos_text(r, name, 32, &text) ? hr_rtos_object(r, id, "tmrTimerControl", "FreeRTOS timer %s", hr_strs_get(r->image->strs, text))
                                                   : hr_rtos_object(r, id, "tmrTimerControl", "FreeRTOS timer");
    return true;
}

static bool event_group(struct hr_rtos *r, const struct shape *s, hr_id id, uint64_t at, uint64_t size, enum hr_status *st)
{
    if (size < s->bits_list + s->list || size > s->bits_list + s->list + 5 * s->w || !is_list(r, s, at + s->bits_list))
        return false;
    *st = hr_rtos_object(r, id, "EventGroupDef_t", "FreeRTOS event group");
    return true;
}

static bool waits(const struct hr_rtos *r, uint64_t at)
{
    uint64_t task;
    return word(r, at, &task) && (!task || hr_rtos_task(r, task));
}

static bool stream(struct hr_rtos *r, const struct shape *s, hr_id id, uint64_t at, uint64_t size, enum hr_status *st)
{
    uint64_t w = s->w, tail, head, length, trigger, buffer, flags = 0;
    if (size < s->buffer + w || !word(r, at, &tail) || !word(r, at + w, &head) || !word(r, at + 2 * w, &length) || !word(r, at + 3 * w, &trigger) ||
        !word(r, at + s->buffer, &buffer))
        return false;
    uint64_t off = buffer - at;
    if (length < 2 || tail >= length || head >= length || !trigger || trigger > length || off <= s->buffer || off > s->buffer + 8 * w || off > size ||
        length > size - off || size - off - length > 4 * w + 16 || !waits(r, at + 4 * w) || !waits(r, at + 5 * w))
        return false;
    const char *kind = "stream or message buffer";
    if (s->flags != HR_NONE64 && hr_image_uint(r->image, at + s->flags, 1, &flags))
        kind = flags & FLAG_MESSAGES ? "message buffer" : "stream buffer";
    *st = hr_rtos_object(r, id, "StreamBufferDef_t", "FreeRTOS %s (%llu bytes)", kind, (unsigned long long)length - 1);
    return true;
}

enum hr_status hr_freertos_objects(struct hr_rtos *r)
{
    struct shape s;
    shape_of(r, &s);
    struct hr_block_iter it = hr_block_iter(r->heap, 0);
    while (it.id < r->heap->n) {
        hr_id id = it.id;
        uint64_t at = hr_block_next(&it), size = hr_block_size(r->heap, id);
        enum hr_status st = HR_OK;
        if (r->heap->state[id] == HR_USED && !queue(r, &s, id, at, size, &st) && !timer(r, &s, id, at, size, &st) &&
            !event_group(r, &s, id, at, size, &st))
            stream(r, &s, id, at, size, &st);
        HR_TRY(st);
    }
    return HR_OK;
}
