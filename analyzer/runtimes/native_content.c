/* Text: blocks nobody types whose bytes are a string. A proposal, said as such. */
#include "analyzer/runtimes/native_spread.h"

#include <string.h>

#include "analyzer/base/esc.h"

enum {
    TEXT_LEAST = 4,
    TEXT_LOOK = 4096, /* bytes looked at: a block that begins with this much text is text */
};

/* Length of the text at p (n bytes are there), SIZE_MAX when something that is no text comes before the end or a NUL. */
static size_t text_length(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n && p[i]) {
        size_t k = p[i] == '\n' || p[i] == '\t' || p[i] == '\r' ? 1 : hr_utf8_ok(p + i, n - i);
        if (!k)
            return n - i < 4 && n == TEXT_LOOK ? i : SIZE_MAX; /* a sequence cut by our own limit */
        i += k;
    }
    return i;
}

/* A short string may be the bytes of a pointer that happen to print. */
static bool is_pointer(const struct hr_spread *s, uint64_t addr)
{
    uint64_t v;
    return hr_image_word(s->n->img, addr, &v) && hr_image_find(s->n->img, v, NULL);
}

static bool is_text(struct hr_spread *s, hr_id id, uint64_t addr)
{
    uint64_t usable = hr_block_size(s->h, id);
    struct hr_span sp = hr_image_peek(s->n->img, addr, hr_min(usable, TEXT_LOOK));
    size_t len = sp.n ? text_length(sp.p, sp.n) : SIZE_MAX;
    if (len == SIZE_MAX || len < TEXT_LEAST || (len <= s->n->img->word && is_pointer(s, addr)))
        return false;
    if (len == sp.n)
        return true; /* all of it, or all we look at */
    if (hr_fit(s, id, addr, len + 1))
        return true; /* as strdup() would have asked */
    return len >= 8 && len >= usable / 8;
}

enum hr_status hr_content_classify(struct hr_spread *s)
{
    struct hr_block_iter it = hr_block_iter(s->h, 0);
    hr_type text;
    HR_TRY(hr_types_add_runtime(s->n->types, "text (char [])", 0, &text));
    for (hr_id id = 0; id < s->h->n; id++) {
        uint64_t addr = hr_block_next(&it);
        if (s->h->state[id] != HR_USED || s->h->type[id] || !is_text(s, id, addr))
            continue;
        s->h->type[id] = text;
        s->h->evidence[id] = HR_EV_CONTENT;
    }
    return HR_OK;
}
