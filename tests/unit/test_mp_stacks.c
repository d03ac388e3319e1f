/* What MicroPython's collector finds on the stacks of a process, against a written one: an allocation that only one place holds is alive
 * when the collector looks there, and garbage when it does not. */
#include "tests/make/mp_world.h"
#include "tests/tap.h"

enum { W = 8, VM = 0x80, STACK = 0x7f000000, OTHER = 0x6f000000, MALLOC = 0x5f000000, SIZE = 0x2000, SP = 0x800, TOP = 0x1e04 /* an int's address */,
       STATE = 0x1800, BEHIND = 12 * W, TP = 0x1f00 };

enum place { NOWHERE, REGISTER, ON_STACK, RED_ZONE, BELOW, ABOVE_TOP, OTHER_REGISTER, OTHER_STACK, OTHER_BELOW, OTHER_ABOVE, ARGUMENTS, STRANGER, ENDED, NPLACES };
static const struct { const char *name; bool alive; } places[NPLACES] = {
    [NOWHERE] = {"nowhere", false}, [REGISTER] = {"a register", true}, [ON_STACK] = {"the stack", true}, [RED_ZONE] = {"the red zone", true},
    [BELOW] = {"below the red zone", false}, [ABOVE_TOP] = {"above the stack's top", false}, [OTHER_REGISTER] = {"another thread's register", true},
    [OTHER_STACK] = {"another thread's stack", true}, [OTHER_BELOW] = {"below it", false}, [OTHER_ABOVE] = {"above that thread's own top", false},
    [ARGUMENTS] = {"what a thread was started with", true}, [STRANGER] = {"a word that only looks so", false}, [ENDED] = {"a node of no thread", false},
};

struct dress { struct mk stack, other, malloc; enum place place; uint64_t object; };

static void put(struct mk *m, uint64_t at, uint64_t v) { mk_set(m, (size_t)at, v, W); }

/* Both stacks, and the list of threads. */
static void fill(struct dress *d, uint64_t dict)
{
    d->stack = mk_new(W, false), d->other = mk_new(W, false), d->malloc = mk_new(W, false);
    mk_zero(&d->stack, SIZE), mk_zero(&d->other, SIZE), mk_zero(&d->malloc, SIZE);
    put(&d->other, STATE, OTHER + STATE + BEHIND); /* stack_top, stack_limit, lock depth, dict_locals, dict_globals */
    put(&d->other, STATE + W, 8000);
    put(&d->other, STATE + 3 * W, dict), put(&d->other, STATE + 4 * W, dict);
    put(&d->malloc, 0x100, OTHER + TP), put(&d->malloc, 0x100 + W, 0xdead00000001), put(&d->malloc, 0x100 + 3 * W, MALLOC + 0x200);
    put(&d->malloc, 0x200, STACK + TP), put(&d->malloc, 0x200 + W, 1);
    put(&d->malloc, 0x300, 0x12340), put(&d->malloc, 0x300 + W, 1);
    switch (d->place) {
    case ON_STACK: put(&d->stack, SP + 0x100, d->object); break;
    case RED_ZONE: put(&d->stack, SP - 0x40, d->object); break;
    case BELOW: put(&d->stack, SP - 0x200, d->object); break;
    case ABOVE_TOP: put(&d->stack, TOP + 0x24, d->object); break;
    case OTHER_STACK: put(&d->other, SP + 0x300, d->object); break;
    case OTHER_BELOW: put(&d->other, SP - 0x300, d->object); break;
    case OTHER_ABOVE: put(&d->other, STATE + BEHIND + 0x40, d->object); break;
    case ARGUMENTS: put(&d->malloc, 0x100 + 2 * W, d->object); break;
    case STRANGER: put(&d->malloc, 0x400, d->object); break;
    case ENDED: put(&d->malloc, 0x300 + 2 * W, d->object); break;
    default: break;
    }
}

static bool add(struct hr_image *img, uint64_t addr, const struct mk *m)
{
    struct hr_segment s = {.addr = addr, .msize = m->n, .bytes = {m->p, m->n}, .flags = HR_SEG_R | HR_SEG_W, .module = HR_NONE};
    return hr_image_add(img, s) == HR_OK;
}

static bool dress(struct hr_image *img, void *ctx)
{
    struct dress *d = ctx;
    struct hr_thread own = {.tid = 1, .sp = STACK + SP, .stack_lo = STACK, .stack_hi = STACK + SIZE, .tp = STACK + TP, .tp_valid = true};
    struct hr_thread other = {.tid = 2, .sp = OTHER + SP, .stack_lo = OTHER, .stack_hi = OTHER + SIZE, .tp = OTHER + TP, .tp_valid = true};
    own.reg[3] = d->place == REGISTER ? d->object : 0, other.reg[12] = d->place == OTHER_REGISTER ? d->object : 0;
    own.reg_valid = other.reg_valid = 0xffff;
    img->arch = hr_arch_by_name("x86-64");
    img->bare = false;
    img->format = "elf-core";
    /* the thread that crashed comes first: not the interpreter's own */
    return add(img, STACK, &d->stack) && add(img, OTHER, &d->other) && add(img, MALLOC, &d->malloc) && hr_threadvec_push(&img->threads, other) == HR_OK &&
           hr_threadvec_push(&img->threads, own) == HR_OK;
}

int main(void)
{
    unsigned base = 0;
    for (int old = 0; old < 2; old++)
        for (enum place p = 0; p < NPLACES; p++) {
            struct mpw m;
            struct mpw_read got;
            struct dress d = {.place = p};
            mpw_make(&m, W, false, true);
            d.object = MPW_NEW(&m, m.type[Q_LIST], 0, 0, 0);
            if (!old) { /* stack_top in front of dict_locals, nlr_top behind */
                put(&m.ram, VM - 6 * W, STACK + TOP);
                put(&m.ram, VM - 2 * W, STACK + SP + 0x80);
            } else { /* the state names no stack: all of each counts */
                put(&m.ram, VM - 6 * W, 0);
                put(&m.ram, VM - 2 * W, 0);
            }
            fill(&d, MPW_RAM + VM + 4 * W);
            OK(mpw_read_as(&m, dress, &d, &got) && got.state, "read");
            base = p == NOWHERE ? got.garbage : base;
            bool alive = places[p].alive || (old && (p == ABOVE_TOP || p == OTHER_ABOVE));
            OK(got.garbage == base - alive, "%s: held by %s", old ? "no top" : "top known", places[p].name);
            mk_free(&d.stack), mk_free(&d.other), mk_free(&d.malloc);
            mpw_end(&m);
        }
    return tap_done();
}
