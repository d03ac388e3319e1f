/* Text: blocks nobody types whose bytes are a string. A proposal, said as such.
 *
 * First what is text to its end, which no struct is: proposals by shape build on it. After them what begins with text, a buffer
 * that is longer than what it holds, with a NUL behind or without: written by its length, old bytes after. */
#include "analyzer/runtimes/native_spread.h"

#include <string.h>

#include "analyzer/base/esc.h"

enum {
    TEXT_LEAST = 4,
    TEXT_LOOK = 4096,     /* bytes looked at: a block that begins with this much text is text */
    ENDED_LEAST = 8,      /* of a longer buffer, with a NUL, at least this much */
    ENDED_PART = 8,       /* and 1/8 of the block; */
    OPEN_LEAST = 16,      /* without one, a name that fills its field does the same: */
    OPEN_PART = 4,        /* more is asked for */
};

struct text { size_t len; bool ended; };

/* The text at p (n bytes are there) up to a NUL, n, or what is no text. */
static struct text text_at(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i]) {
        size_t k = p[i] == '\n' || p[i] == '\t' || p[i] == '\r' ? 1 : hr_utf8_ok(p + i, n - i);
        if (!k)
            return (struct text){i, n - i < 4 && n == TEXT_LOOK}; /* a sequence cut by our own limit is none */
        i += k;
    }
    return (struct text){i, true};
}

/* A short string may be the bytes of pointers that happen to print: all its words lead to mapped memory. */
static bool is_pointers(const struct hr_spread *s, uint64_t addr, size_t len)
{
    uint64_t w = s->n->img->word, v;
    uint64_t words = len < w ? 1 : len / w;
    for (uint64_t i = 0; i < words; i++)
        if (!hr_image_word(s->n->img, addr + i * w, &v) || !hr_image_find(s->n->img, v, NULL))
            return false;
    return true;
}

static bool is_text(struct hr_spread *s, hr_id id, uint64_t addr, bool sure)
{
    uint64_t usable = hr_block_size(s->h, id);
    struct hr_span sp = hr_image_peek(s->n->img, addr, hr_min(usable, TEXT_LOOK));
    struct text t = text_at(sp.p, sp.n);
    if (t.len < TEXT_LEAST || is_pointers(s, addr, t.len))
        return false;
    if (!t.ended)
        return !sure && t.len >= OPEN_LEAST && t.len >= usable / OPEN_PART;
    if (t.len == sp.n)
        return true; /* all of it, or all we look at */
    if (hr_fit(s, id, addr, t.len + 1))
        return true; /* as strdup() would have asked */
    return !sure && t.len >= ENDED_LEAST && t.len >= usable / ENDED_PART;
}

enum hr_status hr_content_classify(struct hr_spread *s, bool sure)
{
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    hr_type text;
    HR_TRY(hr_types_add_runtime(s->n->types, "text (char [])", 0, &text));
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it);
        if (s->h->state[id] != HR_USED || s->h->type[id] || !is_text(s, id, addr, sure))
            continue;
        s->h->type[id] = text;
        s->h->evidence[id] = HR_EV_CONTENT;
    }
    return HR_OK;
}
