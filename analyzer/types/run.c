/* The machine that runs operations: its flow. Values carry where they were loaded from, so that a visit can be told by its field. */
#include "analyzer/types/run.h"

#include <stdio.h>
#include <string.h>

#include "analyzer/types/imports.h"
#include "analyzer/types/run_state.h"

const char *hr_run_end_name(enum hr_run_end e)
{
    static const char *const names[] = {"done", "no code", "unknown instruction", "absent memory", "too long"};
    return names[e];
}

uint64_t hr_run_result(const struct hr_run *r) { return r->v[0]; }
uint64_t hr_run_stopped_at(const struct hr_run *r) { return r->stopped; }

enum hr_status hr_run_create(const struct hr_image *img, struct hr_types *types, struct hr_run **ret)
{
    if (!hr_uops_known(img))
        return HR_UNSUPPORTED;
    struct hr_run *r = hr_zalloc(1, sizeof *r);
    if (!r)
        return HR_NOMEM;
    r->img = img;
    r->types = types;
    enum { EM_X86_64_ = 62 };
    r->x86 = img->arch->elf_machine == EM_X86_64_;
    r->arg0 = r->x86 ? 7 : 0;
    r->sp = r->x86 ? 4 : R_SP;
    r->stack_used = STACK_LO;
    hr_map_init(&r->import, MAX_IMPORTS);
    enum hr_status st = hr_uops_create(img, &r->code);
    if (st != HR_OK) {
        hr_free(r);
        return st;
    }
    *ret = r;
    return HR_OK;
}

void hr_run_destroy(struct hr_run *r)
{
    if (!r)
        return;
    hr_uops_destroy(r->code);
    hr_map_deinit(&r->import);
    hr_free(r);
}

/* ---- flow ---- */
static bool leave(struct hr_run *r, uint64_t *pc)
{
    uint64_t from;
    if (!r->x86) {
        *pc = r->v[30];
        return true;
    }
    if (!hr_run_load(r, 8, r->v[r->sp], 0, pc, &from))
        return false;
    r->v[r->sp] += 8;
    return true;
}

static bool enter(struct hr_run *r, uint64_t back)
{
    if (!r->x86) {
        hr_run_set(r, 30, 8, back, 0);
        return true;
    }
    r->v[r->sp] -= 8;
    return hr_run_on_stack(r->v[r->sp]) ? hr_run_store(r, r->v[r->sp], 8, back, 0) : hr_run_stop(r, HR_RUN_TOO_LONG);
}

static bool is_lazy(struct hr_run *r, uint64_t at, uint64_t pc)
{
    uint64_t *known = &r->not_lazy[at / 16 % NOT_LAZY];
    if (*known == (at ^ pc))
        return false;
    if (hr_import_lazy(r->img, at, pc))
        return true;
    *known = at ^ pc;
    return false;
}

/* The stub has pushed the relocation's number, and on top of it the module's record, and jumped to the linker's resolver. */
static uint64_t resolve(struct hr_run *r)
{
    uint64_t module, number, from, sp = r->v[r->sp];
    if (!hr_run_load(r, 8, sp, 0, &module, &from) || !hr_run_load(r, 8, sp + 8, 0, &number, &from))
        return 0;
    r->v[r->sp] += 16;
    return hr_import_resolve(r->img, r->types, module, number);
}

/* Where to go on; index of its operation, HR_NONE: the end. at: of an indirect jump, else 0; slot: where its target was loaded. */
static uint32_t arrive(struct hr_run *r, uint64_t pc, uint64_t at, uint64_t slot)
{
    uint8_t which = slot && pc != VISITOR && pc != HOME ? hr_run_import_at(r, slot) : HR_IMPORT_OTHER;
    if (which != HR_IMPORT_OTHER && (!hr_run_import(r, which) || !leave(r, &pc)))
        return HR_NONE;
    while (pc == VISITOR || (pc == r->calls->known && pc && r->v[r->arg0] == r->self)) {
        if (pc == VISITOR)
            r->calls->visit(r->calls->ctx, r->v[r->arg0], r->from[r->arg0]);
        else
            *r->calls->known_called = true;
        hr_run_set(r, 0, 8, 0, 0); /* rax and x0 are both number 0 */
        if (!leave(r, &pc))
            return HR_NONE;
    }
    if (pc == HOME) {
        r->end = HR_RUN_DONE;
        return HR_NONE;
    }
    if (at && r->x86 && is_lazy(r, at, pc))
        pc = resolve(r);
    uint32_t i = hr_uops_at(r->code, pc);
    if (i == HR_NONE)
        r->end = HR_RUN_NO_CODE;
    return i;
}

static bool start(struct hr_run *r, uint64_t self, const struct hr_run_calls *calls)
{
    memset(r->v, 0, sizeof r->v);
    memset(r->from, 0, sizeof r->from);
    uint64_t used = (r->stack_used - STACK_LO) / 8;
    memset(r->stack + used, 0, sizeof r->stack - used * 8);
    memset(r->stack_from + used, 0, sizeof r->stack_from - used * 8);
    r->stack_used = STACK_LO + STACK_BYTES;
    r->nwrites = 0;
    r->self = self;
    r->calls = calls;
    r->fl_of = FL_NONE;
    r->v[r->sp] = SP_START;
    static const uint8_t args[2][3] = {{0, 1, 2}, {7, 6, 2}};
    const uint64_t value[3] = {self, VISITOR, ARGUMENT};
    for (unsigned i = 0; i < 3; i++)
        r->v[args[r->x86][i]] = value[i];
    if (calls->own_thread && calls->thread_at) {
        r->write[r->nwrites].addr = calls->thread_at;
        r->write[r->nwrites++].word = calls->own_thread;
    }
    return enter(r, HOME);
}

/* Index of what comes after the flow operation i; HR_NONE: the run has ended. */
static uint32_t go(struct hr_run *r, uint32_t i)
{
    const struct hr_uop u = *hr_uops_get(r->code, i); /* a copy: decoding moves the table */
    uint64_t pc = (uint64_t)u.imm;
    int yes;
    switch (u.op) {
    case U_BR: case U_BRZ: case U_BRNZ:
        yes = u.op == U_BR ? hr_run_holds(r, u.cc) : (!(r->v[u.a] & hr_run_ones(u.size))) == (u.op == U_BRZ);
        if (yes < 0) {
            r->end = HR_RUN_UNKNOWN;
            return HR_NONE;
        }
        if (r->nimagined && r->turns[i % BRANCHES]++ >= TURNS) {
            r->turns[i % BRANCHES] = 0;
            yes = !yes;
        }
        if (!yes)
            return i + 1;
        break;
    case U_JMPR: pc = r->v[u.a]; break;
    case U_CALLR: pc = r->v[u.a]; /* fall through */
    case U_CALL:
        if (!enter(r, u.pc + u.len))
            return HR_NONE;
        break;
    case U_RET:
        if (!leave(r, &pc))
            return HR_NONE;
        r->v[r->sp] += (uint64_t)u.imm;
        break;
    default: break;
    }
    bool direct = u.op != U_JMPR && u.op != U_CALLR && u.op != U_RET;
    if (direct && u.next != HR_NONE)
        return u.next;
    uint32_t next = arrive(r, pc, u.op == U_JMPR ? u.pc : 0, u.op == U_JMPR || u.op == U_CALLR ? r->from[u.a] : 0);
    if (direct && next != HR_NONE)
        hr_uops_link(r->code, i, next);
    return next;
}

static enum hr_run_end go_through(struct hr_run *r, uint64_t function, uint64_t self, const struct hr_run_calls *calls, struct hr_fuel *fuel)
{
    r->end = HR_RUN_NO_CODE;
    r->stopped = function;
    if (!start(r, self, calls))
        return r->end;
    uint32_t i = hr_uops_at(r->code, function);
    while (i != HR_NONE) {
        const struct hr_uop *u = hr_uops_get(r->code, i);
        r->stopped = u->pc;
        if (!hr_burn(fuel, 1))
            return HR_RUN_TOO_LONG;
        if (u->op == U_BAD)
            return HR_RUN_UNKNOWN;
        if (u->op >= U_BR)
            i = go(r, i);
        else if (hr_run_data(r, u))
            i++;
        else
            return r->end;
    }
    return r->end;
}

enum hr_run_end hr_run_visit(struct hr_run *r, uint64_t function, uint64_t self, const struct hr_run_calls *calls, struct hr_fuel *fuel)
{
    r->nimagined = 0;
    return go_through(r, function, self, calls, fuel);
}

enum hr_run_end hr_run_imagine(struct hr_run *r, uint64_t function, uint64_t type_off, uint64_t type, uint64_t size_off, const struct hr_run_calls *calls,
                               struct hr_fuel *fuel)
{
    r->nimagined = 1;
    r->type_off = type_off;
    r->type = type;
    r->size_off = size_off;
    memset(r->turns, 0, sizeof r->turns);
    return go_through(r, function, hr_run_imagined(0), calls, fuel);
}

bool hr_run_place(const struct hr_run *r, uint64_t from, char *buf, size_t cap)
{
    enum { DEEP = 6 };
    int64_t off[DEEP];
    unsigned depth = 0;
    size_t n = 0;
    if (from - IMAGINED >= MAX_IMAGINED * IMAGINED_EACH)
        return false;
    uint32_t in = (uint32_t)((from - IMAGINED) / IMAGINED_EACH);
    off[depth++] = (int64_t)(from - hr_run_imagined(in));
    for (; in && in < r->nimagined && depth < DEEP; in = r->imagined[in].in)
        off[depth++] = r->imagined[in].off;
    buf[0] = 0;
    while (depth-- && n < cap)
        n += (size_t)snprintf(buf + n, cap - n, "%s%+lld", n ? " > " : in ? "... > " : "", (long long)off[depth]);
    return true;
}
