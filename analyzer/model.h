/* The model's tables over a session: what rules (and `heapray rules attrs`) see. analyzer/model*.c. */
#ifndef HR_MODEL_H
#define HR_MODEL_H

#include "analyzer/session.h"
#include "rules/engine/model.h"

struct hr_session_model {
    struct hr_model model;
    struct hr_table tables[40];
    struct hr_attr object_attrs[20];
    struct hr_global globals[32];
};
/* Fills the tables; columns that are not computed yet get their pointers by hr_model_refresh() after hr_session_need(). */
void hr_model_init(struct hr_session_model *m, struct hr_session *s);
void hr_model_refresh(struct hr_session_model *m, struct hr_session *s);

/* The tables of a Python heap (model_python.c); returns how many. */
size_t hr_model_python(struct hr_table *t, struct hr_session *s);
size_t hr_model_numpy(struct hr_table *t, struct hr_session *s); /* model_numpy.c */
/* The tables and globals of a microcontroller's memory (model_survey.c). */
size_t hr_model_survey(struct hr_table *t, struct hr_session *s);
size_t hr_model_survey_globals(struct hr_global *g, struct hr_session *s);
size_t hr_model_micropython(struct hr_table *t, struct hr_session *s); /* model_micropython.c */
/* Wrong reference counts (model_pyrefs.c). */
size_t hr_model_pyrefs(struct hr_table *t, struct hr_session *s);
/* Types over several images (model_growth.c); NULL: there is one image. hr_model_compare() fills them. */
struct hr_growth;
size_t hr_model_growth(struct hr_table *t, const struct hr_growth *g);
void hr_model_compare(struct hr_session_model *m, const struct hr_growth *g);
/* Why there are no rows about Python, NULL when there is one. ctx: the session. */
const char *hr_model_no_python(void *ctx);
size_t hr_model_python_waste(struct hr_table *t, struct hr_session *s); /* model_python_waste.c */
/* "app.py:31" of the block by tracemalloc, or unknown. */
void hr_model_allocated_at(struct hr_session *s, uint32_t block, struct hr_value *ret);

/* The types around a ring, joined by " -> ", at most 6 named; unescaped. */
char *hr_ring_types(struct hr_session *s, const uint32_t *members, uint32_t n, char *buf, size_t cap);
/* Appends the path from a root to a block to a finding's trace. */
struct hr_hopvec;
enum hr_status hr_trace_to(struct hr_session *s, hr_id node, struct hr_hopvec *out) HR_MUST;

char *hr_pin_name(struct hr_session *s, const struct hr_pin *p, char *buf, size_t cap);

#endif
