/* Developer's tool: what tp_traverse visits, as heapray finds it. Not installed.
 *
 *     dumpplans CORE [ADDRESSES]
 *
 * ADDRESSES: a file of hexadecimal addresses of objects, one a line; for each a line "ADDR TYPE plan|reader: TARGET TARGET … exact|partly|guessed" with what the
 * collector would be shown, in no order (strings with an s), and how it is known. Then a line for each type with a plan:
 * "plan TYPE FUNCTION SYMBOL RUNS WHOLE WHY STOPPED". */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analyzer/runtimes/cpython/plan.h"
#include "analyzer/session.h"

struct visits { struct hr_py *py; bool exact, planned; };

static void visit(void *ctx, uint64_t target, uint32_t off, enum hr_py_ref kind, uint8_t surety)
{
    struct visits *v = ctx;
    (void)off;
    if (kind != HR_PR_STRONG && kind != HR_PR_VISITED && (kind != HR_PR_TYPE || v->planned || !hr_py_visits_type(v->py, target)))
        return;
    uint32_t t = hr_py_object_type(v->py, target);
    uint8_t is = t == HR_NONE ? HR_PK_NONE : hr_py_type(v->py, t)->kind;
    printf(" %" PRIx64 "%s", target, is == HR_PK_STR || is == HR_PK_BYTES ? "s" : "");
    v->exact &= surety == HR_SURE_EXACT;
}

static void show_object(struct hr_py *py, uint64_t addr)
{
    uint32_t at = hr_py_object_type(py, addr);
    if (at == HR_NONE) {
        printf("%" PRIx64 " ? 0:\n", addr);
        return;
    }
    const struct hr_py_type t = *hr_py_type(py, at);
    struct hr_py_plan_info before = {0}, after = {0};
    hr_py_plan_info(py, &t, &before);
    printf("%" PRIx64 " %s %s:", addr, hr_strs_get(py->img->strs, t.name), t.plan != HR_NONE && t.kind != HR_PK_DICT ? "plan" : "reader");
    struct visits v = {py, true, t.plan != HR_NONE};
    if (hr_py_is_gc(py, addr, &t)) /* gc.get_referents() says nothing of others */
        hr_py_refs(py, addr, &t, visit, &v);
    hr_py_plan_info(py, &t, &after);
    printf(" %s\n", t.plan == HR_NONE ? (v.exact ? "exact" : "guessed") : after.whole > before.whole || after.runs == before.runs ? "exact" : "partly");
}

static void show_plans(struct hr_py *py)
{
    for (size_t i = 0; i < py->types.n; i++) {
        const struct hr_py_type *t = hr_py_type(py, (uint32_t)i);
        struct hr_py_plan_info p;
        uint64_t off, off2;
        if (!hr_py_plan_info(py, t, &p))
            continue;
        const struct hr_sym *s = hr_sym_at(py->in.types, p.function, &off), *at = hr_sym_at(py->in.types, p.stopped_at, &off2);
        printf("plan %s %" PRIx64 " %s %" PRIu64 " %" PRIu64 " \"%s\" %" PRIx64 " %s+%" PRIx64 "\n", hr_strs_get(py->img->strs, t->name), p.function,
               s ? s->name : "-", p.runs, p.whole, p.why, p.stopped_at, at && *p.why ? at->name : "-", at ? off2 : 0);
    }
}

int main(int argc, char **argv)
{
    struct heapray_options opt = {.image = argc > 1 ? argv[1] : NULL};

    struct hr_session *s = NULL;
    if (argc < 2 || hr_session_open(&opt, true, &s) != HR_OK || hr_session_roots(s) != HR_OK) {
        fprintf(stderr, "dumpplans: %s\n", s ? s->error : "CORE?");
        return 2;
    }
    struct hr_py *py = hr_runtimes_self(s->runtimes, "cpython");
    FILE *f = argc > 2 ? fopen(argv[2], "r") : NULL;
    uint64_t addr;
    while (py && f && fscanf(f, "%" SCNx64, &addr) == 1)
        show_object(py, addr);
    if (f)
        fclose(f);
    if (py)
        show_plans(py);
    hr_session_close(s);
    return py ? 0 : 1;
}
