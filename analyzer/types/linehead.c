#include "analyzer/types/linehead.h"

enum { LNCT_PATH = 1, LNCT_DIRECTORY = 2 };
enum { FORM_DATA2 = 5, FORM_DATA4, FORM_DATA8, FORM_STRING, FORM_BLOCK, FORM_DATA1 = 0x0b, FORM_STRP = 0x0e, FORM_UDATA = 0x0f, FORM_DATA16 = 0x1e,
       FORM_LINE_STRP = 0x1f };

/* A value of a form; strings count as 0. */
static uint64_t value(struct hr_cursor *c, uint64_t form, unsigned off_bytes)
{
    switch (form) {
    case FORM_DATA1: return hr_cur_u8(c);
    case FORM_DATA2: return hr_cur_u16(c);
    case FORM_DATA4: return hr_cur_u32(c);
    case FORM_DATA8: return hr_cur_u64(c);
    case FORM_UDATA: return hr_cur_uleb(c);
    case FORM_DATA16: (void)hr_cur_bytes(c, 16); return 0;
    case FORM_BLOCK: (void)hr_cur_bytes(c, hr_cur_uleb(c)); return 0;
    case FORM_STRING: (void)hr_cur_cstr(c); return 0;
    case FORM_STRP: case FORM_LINE_STRP: (void)hr_cur_uint(c, off_bytes); return 0;
    default: c->bad = true; return 0;
    }
}

static bool names(uint64_t type, uint64_t form)
{
    return type != LNCT_PATH || form == FORM_STRING || form == FORM_STRP || form == FORM_LINE_STRP;
}

/* One table of version 5: its formats, its entries. Directory numbers have to be below `dirs`. Returns the number of entries. */
static uint64_t table(struct hr_cursor *c, unsigned off_bytes, uint64_t dirs)
{
    uint64_t type[256], form[256];
    unsigned n = hr_cur_u8(c);
    for (unsigned i = 0; i < n && !c->bad; i++) {
        type[i] = hr_cur_uleb(c);
        form[i] = hr_cur_uleb(c);
        c->bad |= !names(type[i], form[i]);
    }
    uint64_t count = hr_cur_uleb(c);
    c->bad |= count && (!n || count > hr_cur_left(c)); /* an entry takes a byte at least */
    for (uint64_t i = 0; i < count && !c->bad; i++)
        for (unsigned k = 0; k < n && !c->bad; k++) {
            uint64_t v = value(c, form[k], off_bytes);
            c->bad |= type[k] == LNCT_DIRECTORY && v >= dirs;
        }
    return count;
}

/* Versions 2 to 4: lists that an empty string ends; directory 0 is the unit's own. */
static void lists(struct hr_cursor *c)
{
    uint64_t dirs = 0;
    while (!c->bad && hr_cur_cstr(c).n)
        dirs++;
    while (!c->bad && hr_cur_cstr(c).n) {
        c->bad |= hr_cur_uleb(c) > dirs;
        (void)hr_cur_uleb(c);
        (void)hr_cur_uleb(c);
    }
}

bool hr_line_header_sane(struct hr_span line, uint64_t off, bool big)
{
    struct hr_cursor c = hr_cursor(line, big, 8);
    hr_cur_seek(&c, off);
    uint64_t length = hr_cur_u32(&c);
    unsigned off_bytes = 4;
    if (length == 0xffffffff) {
        length = hr_cur_u64(&c);
        off_bytes = 8;
    }
    if (c.bad || length > hr_cur_left(&c))
        return false;
    c.end = c.p + length;
    unsigned version = hr_cur_u16(&c);
    if (version >= 5)
        (void)hr_cur_bytes(&c, 2);                       /* sizes of addresses and segment selectors */
    uint64_t rest = hr_cur_uint(&c, off_bytes);
    if (c.bad || version < 2 || version > 5 || rest > hr_cur_left(&c))
        return false;
    c.end = c.p + rest;
    (void)hr_cur_bytes(&c, version >= 4 ? 5 : 4);        /* up to and with line_range */
    unsigned opcodes = hr_cur_u8(&c);
    (void)hr_cur_bytes(&c, opcodes ? opcodes - 1 : 0);
    if (version < 5)
        lists(&c);
    else {
        uint64_t dirs = table(&c, off_bytes, UINT64_MAX);
        (void)table(&c, off_bytes, dirs);
    }
    return !c.bad;
}
