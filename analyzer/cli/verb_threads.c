#include <string.h>

#include "analyzer/cli/cli.h"
#include "analyzer/runtimes/rtos/rtos.h"

static const char *str(struct hr_cli *c, hr_str id) { return id ? hr_strs_get(c->s->strs, id) : NULL; }

static const char *module_of(struct hr_cli *c, const struct hr_frame *f)
{
    return f->module < c->s->image.modules.n ? hr_strs_get(c->s->strs, c->s->image.modules.v[f->module].path) : NULL;
}

static void json_locals(struct hr_cli *c, struct hr_json *j, const struct hr_frame *f)
{
    char type[1024];
    hr_json_arr(j, "locals");
    for (uint32_t i = 0; i < f->nlocals; i++) {
        const struct hr_local *l = &c->s->stacks->locals.v[f->local0 + i];
        hr_json_obj(j, NULL);
        hr_json_str(j, "name", str(c, l->name));
        hr_json_str(j, "type", l->type ? hr_type_name(c->s->types, l->type, type, sizeof type) : NULL);
        if (l->where == 0)
            hr_json_addr(j, "addr", l->addr);
        else
            hr_json_null(j, "addr");
        hr_json_bool(j, "param", l->param);
        hr_json_str(j, "where", l->where == 0 ? "memory" : l->where == 1 ? "register" : "optimised out");
        hr_json_end(j);
    }
    hr_json_end(j);
}

/* Members of a thread that is a task of a real-time kernel; nothing for others. */
void hr_cli_json_task(struct hr_cli *c, struct hr_json *j, uint32_t thread)
{
    const struct hr_session *s = c->s;
    const struct hr_thread *th = &s->image.threads.v[thread];
    const struct hr_task *t = hr_rtos_of_thread(s->rtos, thread);
    uint64_t word, left;
    bool known;
    if (!s->rtos)
        return;
    hr_json_str(j, "state", t ? hr_task_state_name(t->state) : NULL);
    if (t && t->has_priority)
        hr_json_int(j, "priority", (int64_t)t->priority);
    else
        hr_json_null(j, "priority");
    if (t && t->has_base)
        hr_json_num(j, "base_priority", t->base_priority);
    hr_json_str(j, "waits_for", t ? str(c, t->waits) : NULL);
    if (t)
        hr_json_addr(j, "tcb", t->tcb);
    hr_json_obj(j, "stack");
    hr_json_addr(j, "addr", th->stack_lo);
    hr_json_num(j, "size", th->stack_hi - th->stack_lo);
    if (t && t->sp)
        hr_json_addr(j, "sp", t->sp);
    else
        hr_json_null(j, "sp");
    left = hr_rtos_fill(&s->image, th->stack_lo, th->stack_hi, &word, &known);
    left = t && t->overflow && (left == HR_NONE64 || !known) ? 0 : left;
    if (left != HR_NONE64 && (known || (t && t->overflow)))
        hr_json_num(j, "high_water", th->stack_hi - th->stack_lo - left);
    else
        hr_json_null(j, "high_water");
    hr_json_bool(j, "overflow", t && t->overflow);
    hr_json_end(j);
}

static void text_task(struct hr_cli *c, const struct hr_task *t)
{
    struct hr_out *o = &c->out;
    if (hr_task_state_name(t->state))
        hr_outf(o, ", %s", hr_task_state_name(t->state));
    if (t->waits) {
        hr_outf(o, " on ");
        hr_out_esc(o, str(c, t->waits));
    }
    if (t->has_priority)
        hr_outf(o, ", priority %lld", (long long)t->priority);
    if (t->sp >= t->stack_lo && t->sp <= t->stack_hi)
        hr_outf(o, ", %s of its %s stack in use", hr_cli_bytes(c, t->stack_hi - t->sp), hr_cli_bytes(c, t->stack_hi - t->stack_lo));
    if (t->overflow)
        hr_outf(o, ", STACK OVERFLOWED");
}

static void threads_json(struct hr_cli *c)
{
    struct hr_json j;
    const struct hr_session *s = c->s;
    hr_cli_json_begin(c, &j);
    hr_json_arr(&j, "threads");
    for (size_t i = 0; i < s->image.threads.n; i++) {
        const struct hr_thread *t = &s->image.threads.v[i];
        if (hr_rtos_no_task(s->rtos, &s->image, (uint32_t)i))
            continue;
        hr_json_obj(&j, NULL);
        hr_json_num(&j, "tid", t->tid);
        hr_json_int(&j, "signal", t->signal);
        hr_json_str(&j, "name", str(c, t->name));
        hr_cli_json_task(c, &j, (uint32_t)i);
        hr_json_bool(&j, "complete", s->stacks && s->stacks->of[i].complete);
        hr_json_arr(&j, "frames");
        for (uint32_t k = 0; s->stacks && k < s->stacks->of[i].nframes; k++) {
            const struct hr_frame *f = &s->stacks->frames.v[s->stacks->of[i].frame0 + k];
            hr_json_obj(&j, NULL);
            hr_json_addr(&j, "pc", f->pc);
            hr_json_str(&j, "function", str(c, f->func));
            hr_json_str(&j, "file", str(c, f->file));
            if (f->line)
                hr_json_num(&j, "line", f->line);
            else
                hr_json_null(&j, "line");
            hr_json_str(&j, "module", module_of(c, f));
            hr_json_bool(&j, "inlined", f->inlined);
            json_locals(c, &j, f);
            hr_json_end(&j);
        }
        hr_json_end(&j);
        hr_json_end(&j);
    }
    hr_json_end(&j);
    hr_json_end(&j);
}

static void text_frame(struct hr_cli *c, uint32_t k, const struct hr_frame *f)
{
    struct hr_out *o = &c->out;
    const char *module = module_of(c, f);
    hr_outf(o, "  #%-3u 0x%012llx ", k, (unsigned long long)f->pc);
    hr_out_esc(o, f->func ? str(c, f->func) : "?");
    if (f->file) {
        hr_outf(o, " at ");
        hr_out_esc(o, c->all ? str(c, f->file) : hr_base_name(str(c, f->file)));
        hr_outf(o, ":%u", f->line);
    } else if (module) {
        hr_outf(o, " in ");
        hr_out_esc(o, hr_base_name(module));
    }
    hr_outf(o, "%s%s\n", f->inlined ? " (inlined)" : "", f->trust == HR_FRAME_SCAN ? " (guessed)" : "");
    for (uint32_t i = 0; c->all && i < f->nlocals; i++) {
        const struct hr_local *l = &c->s->stacks->locals.v[f->local0 + i];
        char type[512];
        hr_outf(o, "         ");
        hr_out_esc(o, hr_type_name(c->s->types, l->type, type, sizeof type));
        hr_outf(o, " ");
        hr_out_esc(o, hr_strs_get(c->s->strs, l->name));
        if (l->where == 0)
            hr_outf(o, " at 0x%llx\n", (unsigned long long)l->addr);
        else
            hr_outf(o, " %s\n", l->where == 1 ? "in a register" : "optimised out");
    }
}

static int run(struct hr_cli *c)
{
    enum hr_status st = hr_session_roots(c->s);
    if (!hr_cli_ok(c, st))
        return hr_cli_exit_of(st);
    if (c->json || c->ndjson) {
        threads_json(c);
        return hr_cli_exit(c);
    }
    const struct hr_session *s = c->s;
    uint32_t most = c->all ? UINT32_MAX : c->limit ? (uint32_t)c->limit : 40;
    for (size_t i = 0; i < s->image.threads.n; i++) {
        const struct hr_thread *t = &s->image.threads.v[i];
        if (hr_rtos_no_task(s->rtos, &s->image, (uint32_t)i))
            continue;
        hr_out_style(&c->out, HR_BOLD);
        hr_outf(&c->out, "thread %u", t->tid);
        hr_out_style(&c->out, HR_PLAIN);
        if (t->name) {
            hr_outf(&c->out, " \"");
            hr_out_esc(&c->out, str(c, t->name));
            hr_outf(&c->out, "\"");
        }
        const struct hr_task *task = hr_rtos_of_thread(s->rtos, (uint32_t)i);
        if (task)
            text_task(c, task);
        if (t->signal)
            hr_outf(&c->out, ", signal %d (%s)", t->signal, strsignal(t->signal));
        hr_outf(&c->out, "\n");
        uint32_t n = s->stacks ? s->stacks->of[i].nframes : 0;
        for (uint32_t k = 0; k < n && k < most; k++)
            text_frame(c, k, &s->stacks->frames.v[s->stacks->of[i].frame0 + k]);
        if (n > most)
            hr_outf(&c->out, "  [%u more frames: --all]\n", n - most);
        if (task && task->state == HR_TASK_DELETED)
            hr_outf(&c->out, "  (it has ended; its stack is still there)\n");
        else if (!n || !s->stacks->of[i].complete)
            hr_outf(&c->out, "  (the stack could not be followed further)\n");
    }
    hr_cli_text_notes(c);
    return hr_cli_exit(c);
}

const struct hr_verb hr_verb_threads = {
    .name = "threads", .args = "", .summary = "every thread's stack with functions, lines and locals",
    .help = "Every thread with its signal and its stack, unwound with call-frame information: function, file and line where "
            "debug information has them. --all adds locals with their types and all frames.",
    .needs_image = true, .types = true, .run = run,
};
