/* Tasks of a real-time kernel as they lie in memory, for the sample firmware: control blocks, lists, stacks with saved contexts. An
 * independent writer: it knows the layouts (KERNEL 1 FreeRTOS, 2 Zephyr, 3 ThreadX), not the kernels' code; nothing is scheduled.
 * The sample's main() is the running task, on the machine's main stack.
 *
 * Said for each task:  task NAME CONTROL-BLOCK STATE PRIORITY STACK SIZE NEVER-USED   (never used: counted in bytes here, as the kernels do)
 * and for blocks as the sample does: alloc ADDRESS SIZE, lost KIND ADDRESS, queue NAME ADDRESS. */
#undef mallinfo /* the sample's call of it comes here; struct mallinfo is as it was */
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../../samples/firmware/firmware.h"

#if KERNEL == 1
struct mallinfo own_mallinfo(void);
#endif
#ifdef __riscv
enum { CONTEXT = 128 }; /* bytes on the stack of a task that was switched away */
#else
enum { CONTEXT = 64 };
#endif
enum { MAIN_STACK = 1536 };
#ifndef DEEPEST
#define DEEPEST 264
#endif
#ifndef OVERRUN
#define OVERRUN 0 /* this task used its whole stack */
#endif
extern char __stack_top[];

static void tell(const char *what, const char *name, int n, const uintptr_t *v)
{
    static char line[120];
    char *p = line;
    while (*what)
        *p++ = *what++;
    for (*p++ = ' '; *name; name++)
        *p++ = *name;
    for (int i = 0; i < n; i++) {
        *p++ = ' ';
        for (int shift = 8 * (int)sizeof *v - 4; shift >= 0; shift -= 4)
            *p++ = "0123456789abcdef"[v[i] >> shift & 15];
    }
    *p++ = '\n';
    *p = 0;
    say(line);
    memset(line, 0, sizeof line);
}
static void *take(size_t n)
{
    uintptr_t v[2] = {(uintptr_t)malloc(n), n};
    memset((void *)v[0], 0, n);
    tell("alloc", "-", 2, v);
    return (void *)v[0];
}

enum { NOTIFIED = 6 }; /* waits for a notification without a limit: on the list of the suspended */
struct note { struct note *next; uint32_t text[3]; };
static void work(void *arg) { for (;;) __asm__ volatile("" : : "r"(arg) : "memory"); }

/* ---- what the kernels differ in ---- */
#if KERNEL == 1
enum { FILL = 0xa5 };
typedef uint32_t TickType_t;
struct xLIST_ITEM { TickType_t xItemValue; struct xLIST_ITEM *pxNext, *pxPrevious; void *pvOwner; struct xLIST *pxContainer; };
struct xMINI_LIST_ITEM { TickType_t xItemValue; struct xLIST_ITEM *pxNext, *pxPrevious; };
typedef struct xLIST { unsigned long uxNumberOfItems; struct xLIST_ITEM *pxIndex; struct xMINI_LIST_ITEM xListEnd; } List_t;
typedef struct tskTaskControlBlock {
    volatile uint32_t *pxTopOfStack;
    struct xLIST_ITEM xStateListItem, xEventListItem;
    unsigned long uxPriority;
    uint32_t *pxStack;
    char pcTaskName[10];
#ifdef HIGH_ADDRESS
    uint32_t *pxEndOfStack;
#endif
    unsigned long uxTCBNumber, uxTaskNumber;
    uint32_t ulNotifiedValue[3];
    uint8_t ucNotifyState[3], ucStaticallyAllocated;
} tskTCB;
/* An object of each kind that is no queue: made, never used. */
typedef struct tmrTimerControl { const char *pcTimerName; struct xLIST_ITEM xTimerListItem; TickType_t xTimerPeriodInTicks; void *pvTimerID; void (*pxCallbackFunction)(void *); uint8_t ucStatus; } Timer_t;
typedef struct StreamBufferDef_t { size_t xTail, xHead, xLength, xTriggerLevelBytes; void *xTaskWaitingToReceive, *xTaskWaitingToSend; uint8_t *pucBuffer, ucFlags; } StreamBuffer_t;
static Timer_t *volatile lazy;
static StreamBuffer_t *volatile pipe_, *volatile mail;
void ulTaskGenericNotifyTake(void);
__attribute__((noinline)) void ulTaskGenericNotifyTake(void) { for (;;) __asm__ volatile("" : : : "memory"); }
typedef struct QueueDefinition {
    int8_t *pcHead, *pcWriteTo;
    union { struct { int8_t *pcTail, *pcReadFrom; } xQueue; struct { void *xMutexHolder; unsigned long uxRecursiveCallCount; } xSemaphore; } u;
    List_t xTasksWaitingToSend, xTasksWaitingToReceive;
    volatile unsigned long uxMessagesWaiting;
    unsigned long uxLength, uxItemSize;
    volatile int8_t cRxLock, cTxLock;
} xQUEUE;
tskTCB *volatile pxCurrentTCB;
static List_t pxReadyTasksLists[5], xDelayedTaskList1, xDelayedTaskList2, xPendingReadyList, xSuspendedTaskList, xTasksWaitingTermination;
static volatile struct { const char *pcQueueName; xQUEUE *xHandle; } xQueueRegistry[4];
static xQUEUE *volatile inbox, *volatile lock;

static void list(List_t *l)
{
    l->pxIndex = (struct xLIST_ITEM *)&l->xListEnd;
    l->xListEnd = (struct xMINI_LIST_ITEM){0xffffffff, l->pxIndex, l->pxIndex};
    l->uxNumberOfItems = 0;
}
static void insert(List_t *l, struct xLIST_ITEM *i)
{
    struct xLIST_ITEM *end = (struct xLIST_ITEM *)&l->xListEnd;
    i->pxNext = end;
    i->pxPrevious = l->xListEnd.pxPrevious;
    i->pxPrevious->pxNext = i;
    l->xListEnd.pxPrevious = i;
    i->pxContainer = l;
    l->uxNumberOfItems++;
}
static xQUEUE *queue(const char *name, unsigned length, unsigned item)
{
    xQUEUE *q = take(sizeof *q + length * item);
    list(&q->xTasksWaitingToSend);
    list(&q->xTasksWaitingToReceive);
    q->uxLength = length;
    q->uxItemSize = item;
    q->pcHead = item ? (int8_t *)(q + 1) : NULL;
    q->pcWriteTo = q->pcHead;
    uintptr_t v = (uintptr_t)q;
    tell("queue", name, 1, &v);
    return q;
}
static StreamBuffer_t *stream(const char *name, size_t n, uint8_t flags)
{
    StreamBuffer_t *b = take(sizeof *b + n + 1);
    *b = (StreamBuffer_t){.xLength = n + 1, .xTriggerLevelBytes = 1, .pucBuffer = (uint8_t *)(b + 1), .ucFlags = flags};
    uintptr_t v = (uintptr_t)b;
    tell("queue", name, 1, &v);
    return b;
}
static __attribute__((unused)) void other_objects(void)
{
    uintptr_t v = (uintptr_t)(lazy = take(sizeof *lazy));
    memset(lazy, 0xee, sizeof *lazy); /* who owns the item is noted when it is started */
    *(Timer_t *)lazy = (Timer_t){.pcTimerName = "lazy", .xTimerListItem.pvOwner = (void *)0xeeeeeeee, .xTimerPeriodInTicks = 100, .pxCallbackFunction = work};
    tell("queue", "timer", 1, &v);
    pipe_ = stream("stream", 50, 0);
    mail = stream("message", 64, 1);
}
static void kernel(void)
{
#if !SQUEEZE
    other_objects();
#endif
    for (int i = 0; i < 5; i++)
        list(&pxReadyTasksLists[i]);
    List_t *const more[] = {&xDelayedTaskList1, &xDelayedTaskList2, &xPendingReadyList, &xSuspendedTaskList, &xTasksWaitingTermination};
    for (int i = 0; i < 5; i++)
        list(more[i]);
    inbox = queue("inbox", 3, 8);
    lock = queue("-", 1, 0);
    xQueueRegistry[1].pcQueueName = "inbox";
    xQueueRegistry[1].xHandle = inbox;
}
static void *control_block(const char *name, unsigned state, unsigned priority, uint32_t *stack, size_t size, uint32_t *sp, int fixed)
{
    static tskTCB statics[2];
    static unsigned number, used;
    int notified = state == NOTIFIED;
    state = notified ? 3 : state;
    tskTCB *t = fixed ? &statics[used++] : take(sizeof *t);
    t->pxTopOfStack = sp;
    t->pxStack = stack;
    t->uxPriority = priority;
    t->uxTCBNumber = ++number;
    t->ucNotifyState[2] = (uint8_t)notified;
    strncpy(t->pcTaskName, name, sizeof t->pcTaskName - 1);
#ifdef HIGH_ADDRESS
    t->pxEndOfStack = (uint32_t *)((uintptr_t)(stack + size / 4 - 1) & ~7u);
#else
    (void)size;
#endif
    t->xStateListItem.pvOwner = t->xEventListItem.pvOwner = t;
    List_t *const of_state[] = {&pxReadyTasksLists[priority], &pxReadyTasksLists[priority], &xSuspendedTaskList, &xSuspendedTaskList,
                                &xTasksWaitingTermination, &xDelayedTaskList1};
    insert(of_state[state], &t->xStateListItem);
    if (state == 2)
        insert(&inbox->xTasksWaitingToReceive, &t->xEventListItem);
    if (!state)
        pxCurrentTCB = t;
    return t;
}
#elif KERNEL == 2
enum { FILL = 0xaa };
#ifdef __riscv
struct _callee_saved { unsigned long sp, ra, s0, s1, s2, s3, s4, s5, s6, s7, s8, s9, s10, s11; };
#define SAVED_SP sp
#else
struct _callee_saved { uint32_t v1, v2, v3, v4, v5, v6, v7, v8, psp; };
#define SAVED_SP psp
#endif
struct link { struct link *next, *prev; };
struct _timeout { struct link node; void (*fn)(struct _timeout *); int32_t dticks; };
struct _thread_base {
    void *qnode_dlist[2];
    void *pended_on;
    uint8_t user_options, thread_state;
    int8_t prio;
    uint8_t sched_locked;
    uint32_t order_key;
    struct _timeout timeout;
};
struct link timeout_list = {&timeout_list, &timeout_list};
struct _thread_stack_info { uintptr_t start; size_t size, delta; };
struct k_thread {
    struct _thread_base base;
    struct _callee_saved callee_saved;
    void *init_data, *join_queue[2];
    struct { void *pEntry, *parameter1, *parameter2, *parameter3; } entry;
    struct k_thread *next_thread;
    char name[20];
    struct _thread_stack_info stack_info;
    void *resource_pool;
};
struct _cpu { uint32_t nested; char *irq_stack; struct k_thread *current, *idle_thread; void *misc; };
struct z_kernel { struct _cpu cpus[1]; void *ready_q[3]; struct k_thread *threads; };
struct z_kernel _kernel;
struct k_sem { struct link wait_q; unsigned count, limit; } volatile gate = {.limit = 1};
/* For debuggers: version, current thread, threads, entry, next thread, state, options, priority, stack pointer, name */
const size_t _kernel_thread_info_offsets[] = {
    1, offsetof(struct _cpu, current), offsetof(struct z_kernel, threads), offsetof(struct k_thread, entry), offsetof(struct k_thread, next_thread),
    offsetof(struct _thread_base, thread_state), offsetof(struct _thread_base, user_options), offsetof(struct _thread_base, prio),
    offsetof(struct k_thread, callee_saved.SAVED_SP), offsetof(struct k_thread, name), 0xffffffff, 0xffffffff, 0xffffffff,
};
const uint8_t _kernel_thread_info_size_t_size = sizeof(size_t);
static void kernel(void) { __asm__ volatile("" : : "r"(_kernel_thread_info_offsets), "r"(&_kernel_thread_info_size_t_size)); }
static void *control_block(const char *name, unsigned state, unsigned priority, uint32_t *stack, size_t size, uint32_t *sp, int fixed)
{
    static const uint8_t states[] = {0x80, 0x80, 2, 16, 8, 2};
    static struct k_thread threads[8];
    static unsigned used;
    struct k_thread *t = fixed ? &threads[used++] : take(sizeof *t);
#ifdef __riscv
    t->callee_saved.sp = (unsigned long)(sp + CONTEXT / 4);
    t->callee_saved.ra = (unsigned long)work; /* it called the kernel itself */
    memset(sp, FILL, CONTEXT);
#else
    t->callee_saved.psp = (uint32_t)(sp + 8); /* r4 to r11 lie in the structure */
    memcpy(&t->callee_saved, sp, 32);
    memset(sp, FILL, 32);
#endif
    t->base.thread_state = states[state];
    t->base.pended_on = state == 2 ? (void *)&gate.wait_q : NULL;
    if (state == 5) { /* asleep: suspended until its time has come */
        t->base.thread_state = 16;
        t->base.timeout.node = (struct link){&timeout_list, timeout_list.prev};
        timeout_list.prev->next = &t->base.timeout.node;
        timeout_list.prev = &t->base.timeout.node;
    }
    t->base.prio = (int8_t)priority;
    strncpy(t->name, name, sizeof t->name - 1);
    t->stack_info = (struct _thread_stack_info){(uintptr_t)stack, size, 16};
    t->next_thread = _kernel.threads;
    _kernel.threads = t;
    if (!state)
        _kernel.cpus[0].current = t;
    return t;
}
#else
enum { FILL = 0xef };
typedef struct TX_THREAD_STRUCT {
    uint32_t tx_thread_id, tx_thread_run_count;
    void *tx_thread_stack_ptr, *tx_thread_stack_start, *tx_thread_stack_end;
    uint32_t tx_thread_stack_size, tx_thread_time_slice, tx_thread_new_time_slice;
    struct TX_THREAD_STRUCT *tx_thread_ready_next, *tx_thread_ready_previous;
    char *tx_thread_name;
    unsigned tx_thread_priority, tx_thread_state, tx_thread_delayed_suspend, tx_thread_suspending, tx_thread_preempt_threshold;
    void *tx_thread_suspend_control_block;
    struct TX_THREAD_STRUCT *tx_thread_created_next, *tx_thread_created_previous;
} TX_THREAD;
TX_THREAD *_tx_thread_created_ptr, *_tx_thread_current_ptr;
static struct { uint32_t id; const char *name; } volatile mailbox = {0x51554555, "mailbox"};
static void kernel(void) {}
static void *control_block(const char *name, unsigned state, unsigned priority, uint32_t *stack, size_t size, uint32_t *sp, int fixed)
{
    static const uint8_t states[] = {0, 0, 5, 3, 1, 4};
    static TX_THREAD threads[8];
    static unsigned used;
    TX_THREAD *t = fixed ? &threads[used++] : take(sizeof *t);
    *t = (TX_THREAD){.tx_thread_id = 0x54485244, .tx_thread_stack_ptr = sp, .tx_thread_stack_start = stack,
                     .tx_thread_stack_end = (char *)stack + size - 1, .tx_thread_stack_size = size, .tx_thread_name = (char *)name,
                     .tx_thread_priority = priority, .tx_thread_state = states[state], .tx_thread_suspend_control_block = state == 2 ? (void *)&mailbox : NULL,
                     .tx_thread_created_next = _tx_thread_created_ptr};
    _tx_thread_created_ptr = t;
    if (!state)
        _tx_thread_current_ptr = t;
    return t;
}
#endif

/* ---- tasks ---- */

static void said(const char *name, const void *tcb, unsigned state, unsigned priority, const uint8_t *stack, size_t size)
{
    uintptr_t n = 0;
    while (n < size && stack[n] == FILL)
        n++;
    uintptr_t v[6] = {(uintptr_t)tcb, state, priority, (uintptr_t)stack, size, n};
    tell("task", name, 6, v);
}

/* A task that has run: used down to `deep` bytes, now `live` bytes with a saved context below them. Its live part holds the only
 * pointer to one block, what lies below the saved context the only one to another, which is lost. */
static __attribute__((noinline)) void task(const char *name, unsigned state, unsigned priority, uint32_t *stack, size_t size, size_t deep, size_t live,
                                           int fixed)
{
    uint8_t *top = (uint8_t *)stack + size;
    deep += CONTEXT - 64;
    memset(stack, FILL, size);
    for (uint32_t *p = (uint32_t *)(top - deep); (uint8_t *)p < top; p++)
        *p = 0x1000 + (uint32_t)priority;
#ifdef __riscv
    /* FreeRTOS 11.3: {mepc, mstatus, ra, x5 ..., nesting}; ThreadX: {1, s11 ..., ra, -, mepc} */
    uint32_t *sp = (uint32_t *)(top - live) - CONTEXT / 4, *frame = sp + CONTEXT / 4 - 8;
    for (int i = 0; i < CONTEXT / 4; i++)
        sp[i] = 0x40 + (uint32_t)i;
    sp[0] = KERNEL == 3 ? 1 : (uint32_t)work;
    sp[1] = KERNEL == 3 ? 0x51 : 0x1880;
    sp[KERNEL == 3 ? 28 : 2] = (uint32_t)work;
    sp[30] = KERNEL == 3 ? (uint32_t)work : 1;
    if (KERNEL == 1) /* 31 words: sp is one word above a CONTEXT */
        memmove(sp + 1, sp, 31 * 4), sp++;
#else
    uint32_t *frame = (uint32_t *)(top - live) - 8, *sp = frame - 8;
    for (int i = 0; i < 8; i++)
        sp[i] = 0x40 + (uint32_t)i;
    uint32_t at = (uint32_t)work;
#if KERNEL == 1
    at = state == NOTIFIED ? (uint32_t)ulTaskGenericNotifyTake : at;
#endif
    const uint32_t pushed[8] = {1, 2, 3, 4, 12, (uint32_t)work, at & ~1u, 0x01000000};
    memcpy(frame, pushed, sizeof pushed);
#endif
    if (live > 16) {
        struct note *kept = take(sizeof *kept), *lost = take(sizeof *lost);
        uintptr_t v = (uintptr_t)lost;
        memcpy(frame + 9, &kept, sizeof kept);
        memcpy(sp - 3, &lost, sizeof lost);
        tell("lost", "direct", 1, &v);
        if ((size_t)(top - (uint8_t *)(sp - 3)) > deep)
            say("wrong: below its deepest\n");
    }
    said(name, control_block(name, state, priority, stack, size, sp, fixed), state, priority, (uint8_t *)stack, size);
}

/* Fills the heap and frees every other block: much is free, and what was had twice cannot be had again. */
static void *keep[96];
static __attribute__((noinline)) void squeeze(void)
{
#if SQUEEZE
    enum { LARGE = 200, SMALL = 96 };
    int n = 0;
    keep[n++] = take(LARGE);
    keep[n++] = take(LARGE);
    for (void *p; n < 96 && (p = malloc(SMALL)); n++) {
        uintptr_t v[2] = {(uintptr_t)p, SMALL};
        memset(p, 0, SMALL);
        tell("alloc", "-", 2, v);
        keep[n] = p;
    }
    for (int i = 3; i < n; i += 2) {
        uintptr_t v = (uintptr_t)keep[i];
        free(keep[i]);
        keep[i] = NULL;
        tell("freed", "-", 1, &v);
    }
    uintptr_t v[2] = {(uintptr_t)malloc(LARGE), LARGE};
    tell("tried", "-", 2, v);
#else
    (void)keep;
#endif
}

static uint32_t fixed_stack[100], idle_stack[64];
struct mallinfo late_mallinfo(void);
struct mallinfo late_mallinfo(void)
{
    uintptr_t top = (uintptr_t)__stack_top;
    __asm__("" : "+r"(top)); /* memory below a symbol: the compiler takes it for an array of nothing */
    uint8_t *here = __builtin_frame_address(0), *low = (uint8_t *)(top - MAIN_STACK);
    memset(low, FILL, (size_t)(here - 400 - low));
    kernel();
    said("main", control_block("main", 0, 4, (uint32_t *)low, MAIN_STACK, (uint32_t *)low + 8, 1), 0, 4, low, MAIN_STACK);
    task("fixed", 5, 2, fixed_stack, sizeof fixed_stack, 200, 48, 1);
    task("idle", 1, 0, idle_stack, sizeof idle_stack, 100, 8, 0);
    task("reader", 2, 3, take(528), 528, 300, 120, 0);
    task("sleeper", 3, 1, take(400), 400, 160, 40, 0);
#if KERNEL == 1 && !SQUEEZE
    task("notified", NOTIFIED, 2, take(288), 288, 152, 60, 0);
#endif
    task("goner", 4, 1, take(256), 256, 120, 8, 0);
#if OVERRUN
    task("greedy", 5, 2, take(304), 304, 304, 80, 0);
#endif
#if TIGHT
    task("tight", 5, 2, take(304), 304, DEEPEST, 80, 0);
#endif
    squeeze();
#if KERNEL == 1
    return own_mallinfo();
#else
    return mallinfo();
#endif
}
