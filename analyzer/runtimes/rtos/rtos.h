/* Real-time kernels: their tasks, the stacks of those, and the kernel's objects in the heap. FreeRTOS, Zephyr, ThreadX.
 *
 * Found before stacks are unwound, because every task that is not running becomes a thread of the image: its stack pointer and
 * registers are where the kernel saved them. As a runtime each kernel names its blocks and speaks for the blocks that are task
 * stacks: what lies below a saved stack pointer holds nothing alive.
 *
 * To add a kernel: a file with a find function (list it in rtos.c) and a runtime of its name (HR_RUNTIME in runtimes.def). */
#ifndef HR_RUNTIMES_RTOS_H
#define HR_RUNTIMES_RTOS_H

#include "analyzer/heap/heap.h"
#include "analyzer/runtimes/runtime.h"

enum {
    HR_RTOS_MAX_TASKS = 4096,   /* of one image: a microcontroller has memory for dozens, a hostile list has no end */
};

enum hr_task_state { HR_TASK_UNKNOWN, HR_TASK_RUNNING, HR_TASK_READY, HR_TASK_BLOCKED, HR_TASK_SUSPENDED, HR_TASK_DELETED };
const char *hr_task_state_name(enum hr_task_state s); /* NULL: unknown */

struct hr_task {
    uint64_t tcb, tcb_size;     /* its control block; size 0 unknown */
    uint64_t stack_lo, stack_hi; /* hi 0: not known */
    uint64_t sp;                /* as saved; of the running one: from the registers, 0 when there are none */
    uint64_t priority, base_priority;
    bool has_priority, has_base;
    bool exact_end;             /* stack_hi is the end itself, not the last aligned place in it */
    bool overflow;              /* sp below the stack, or the fill at its far end is damaged */
    uint8_t state;              /* enum hr_task_state */
    uint32_t number;            /* the kernel's own, 0 none */
    uint32_t thread;            /* of the image, HR_NONE */
    hr_id stack_block, tcb_block; /* HR_NONE: not in the heap */
    hr_str name;
    hr_str waits;               /* what it waits for, 0 unknown or nothing */
    uint64_t waits_in;          /* an address in the kernel's object it waits for, 0 none */
};
HR_VEC(hr_taskvec, struct hr_task)

struct hr_kobject {             /* a kernel object that is a block of the heap */
    hr_id block;
    hr_type like;               /* the program's own type of it, 0 unknown */
    hr_str name;                /* "FreeRTOS queue inbox (4 x 8 bytes)" */
};
HR_VEC(hr_kobjectvec, struct hr_kobject)

struct hr_rtos {
    const char *kernel;         /* "FreeRTOS" …, static */
    char version[32], evidence[160];
    hr_type tcb_type;           /* of control blocks, 0 unknown */
    struct hr_taskvec tasks;
    struct hr_kobjectvec objects;
    uint64_t current[8];        /* control blocks of the running tasks, by core */
    uint32_t ncurrent;
    uint64_t callee_saved;      /* Zephyr, Cortex-M: where r4 is in a thread's structure, HR_NONE64 none */
    /* while it is being found */
    struct hr_image *image;
    struct hr_types *types;
    struct hr_heap *heap;
    struct hr_notes *notes;
};

/* HR_ABSENT: no kernel. Adds threads to the image. Needs the heap; types when there are some. */
enum hr_status hr_rtos_find(struct hr_image *img, struct hr_types *types, struct hr_heap *heap, struct hr_notes *notes,
                            struct hr_rtos **ret) HR_MUST;
void hr_rtos_destroy(struct hr_rtos *r);

/* The task that is thread `thread` of the image, or NULL. */
const struct hr_task *hr_rtos_of_thread(const struct hr_rtos *r, uint32_t thread);

/* The stack that interrupts have of their own: a thread of the image for its borders only. */
bool hr_rtos_no_task(const struct hr_rtos *r, const struct hr_image *img, uint32_t thread);

/* fill.c: bytes from lo on that hold one word over and over, HR_NONE64 when none does; *known_ret: the word is one that kernels
 * fill stacks with. */
uint64_t hr_rtos_fill(const struct hr_image *img, uint64_t lo, uint64_t hi, uint64_t *word_ret, bool *known_ret);

/* ---- for the kernels' files ---- */
/* The address of a data symbol, 0 none; *size_ret (may be NULL) its size. */
uint64_t hr_rtos_symbol(const struct hr_rtos *r, const char *name, uint64_t *size_ret);
/* The word that the symbol holds. */
bool hr_rtos_word(const struct hr_rtos *r, const char *name, uint64_t *ret);
/* A text of at most max bytes at addr: printable, not empty. */
bool hr_rtos_text(const struct hr_rtos *r, uint64_t addr, unsigned max, hr_str *ret);
/* Offset of a member by DWARF, else `other`. */
uint64_t hr_rtos_offset(const struct hr_rtos *r, const char *type, const char *path, uint64_t other);
/* The task with that control block, or NULL. */
struct hr_task *hr_rtos_task(const struct hr_rtos *r, uint64_t tcb);
/* Adds a task that is not there yet; HR_ABSENT when it is, HR_LIMIT when there are too many. */
enum hr_status hr_rtos_add(struct hr_rtos *r, struct hr_task t) HR_MUST;
/* Does that address lie in code: in what the image or the program's headers call so, in flash that was not saved? */
bool hr_rtos_in_code(const struct hr_rtos *r, uint64_t pc);
/* Is there a block in use that begins at addr? HR_NONE: no. */
hr_id hr_rtos_block(const struct hr_rtos *r, uint64_t addr);
/* Where a stack that begins at lo ends: its block, its variable, HR_NONE64 not known. */
uint64_t hr_rtos_stack_end(const struct hr_rtos *r, uint64_t lo);
/* Names a block in use. `like`: the name of the program's type for it, NULL none. */
enum hr_status hr_rtos_object(struct hr_rtos *r, hr_id block, const char *like, const char *fmt, ...) HR_PRINTF(4, 5) HR_MUST;

/* The kernels. HR_ABSENT: not this one. They add tasks (tcb, name, stack_lo, sp, …); rtos.c does the rest. */
enum hr_status hr_freertos_find(struct hr_rtos *r) HR_MUST;
enum hr_status hr_freertos_objects(struct hr_rtos *r) HR_MUST;
enum hr_status hr_zephyr_find(struct hr_rtos *r) HR_MUST;
enum hr_status hr_threadx_find(struct hr_rtos *r) HR_MUST;
/* Registers that a Cortex-M port left on the stack at sp, if they are there; r4 (0 none): where r4 to r11 are, sp leads to the
 * processor's frame then. */
bool hr_rtos_cortex_m(const struct hr_rtos *r, uint64_t r4, uint64_t sp, struct hr_thread *th);

/* Finds the stack pointer of registers that came without. */
void hr_rtos_cortex_m_sp(struct hr_rtos *r);

/* The same on RISC-V; Zephyr keeps some in the control block. */
bool hr_rtos_riscv(const struct hr_rtos *r, uint64_t tcb, uint64_t sp, struct hr_thread *th);

/* runtime.c: what the three runtimes share. */
enum hr_status hr_rtos_open(const char *kernel, struct hr_runtime_in *in, void **self_ret, char *version, size_t vcap, char *evidence,
                            size_t ecap);

#endif
