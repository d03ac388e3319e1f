/* Decoding on demand: code is turned into operations once, when it is run for the first time. */
#include "analyzer/types/uop.h"
#include "analyzer/base/map.h"
#include "analyzer/types/uop_decode.h"

enum {
    MAX_UOPS = 1 << 21,   /* 2 M operations (80 MiB): all traverse functions of an interpreter with its extensions are about 20,000 */
    CHUNK = 256,          /* bytes decoded at a time */
};

struct hr_uops {
    struct hr_uop_sink sink;
    const struct hr_image *img;
    struct hr_map at;     /* address of an instruction -> first operation */
};

bool hr_uops_known(const struct hr_image *img)
{
    return img->arch && img->word == 8 && !img->big && img->arch->elf_machine == EM_X86_64;
}

enum hr_status hr_uops_create(const struct hr_image *img, struct hr_uops **ret)
{
    if (!hr_uops_known(img))
        return HR_UNSUPPORTED;
    struct hr_uops *u = hr_zalloc(1, sizeof *u);
    if (!u)
        return HR_NOMEM;
    u->img = img;
    u->sink.out.max = MAX_UOPS;
    hr_map_init(&u->at, MAX_UOPS);
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &u->sink.cs) != CS_ERR_OK) {
        hr_free(u);
        return HR_NOMEM;
    }
    cs_option(u->sink.cs, CS_OPT_DETAIL, CS_OPT_ON);
    u->sink.lower = hr_uop_x86;
    *ret = u;
    return HR_OK;
}

void hr_uops_destroy(struct hr_uops *u)
{
    if (!u)
        return;
    cs_close(&u->sink.cs);
    hr_uopvec_deinit(&u->sink.out);
    hr_map_deinit(&u->at);
    hr_free(u);
}

const struct hr_uop *hr_uops_get(const struct hr_uops *u, uint32_t i) { return &u->sink.out.v[i]; }
void hr_uops_link(struct hr_uops *u, uint32_t i, uint32_t next) { u->sink.out.v[i].next = next; }

void hr_uop_put(struct hr_uop_sink *s, struct hr_uop u)
{
    u.pc = s->insn->address;
    u.len = (uint8_t)s->insn->size;
    u.next = HR_NONE;
    if (hr_uopvec_push(&s->out, u) != HR_OK)
        s->full = true;
}

static bool leaves(const struct hr_uop *u) { return u->op == U_JMP || u->op == U_JMPR || u->op == U_RET || u->op == U_BAD; }

/* From pc to the end of its basic blocks, to code that is decoded already, or to the end of the chunk: then a jump goes on. */
static void decode(struct hr_uops *u, uint64_t pc)
{
    uint8_t copy[CHUNK];
    const struct hr_segment *seg = hr_image_find(u->img, pc, NULL);
    const uint8_t *code = copy;
    size_t n = seg && seg->flags & HR_SEG_X ? hr_image_read(u->img, pc, copy, CHUNK) : 0;
    bool more = n == CHUNK;
    cs_insn *insn = n ? cs_malloc(u->sink.cs) : NULL;
    if (!insn)
        return;
    struct hr_uop_sink *s = &u->sink;
    s->insn = insn;
    uint64_t at = pc;
    while (cs_disasm_iter(s->cs, &code, &n, &at, insn)) {
        uint32_t first = (uint32_t)s->out.n;
        if (hr_map_get(&u->at, insn->address) != HR_NONE || (more && n < 16)) { /* the last of a chunk may be cut */
            hr_uop_put(s, (struct hr_uop){.op = insn->address == pc ? U_BAD : U_JMP, .imm = (int64_t)insn->address});
            break;
        }
        s->failed = false;
        s->lower(s, insn);
        if (s->failed)
            s->out.n = first;
        if (s->out.n == first)
            hr_uop_put(s, (struct hr_uop){.op = U_BAD});
        if (s->full || hr_map_put(&u->at, insn->address, first) != HR_OK) {
            s->full = true;
            break;
        }
        if (leaves(&s->out.v[s->out.n - 1]))
            break;
    }
    if (s->out.n && !leaves(&s->out.v[s->out.n - 1])) /* undecodable */
        hr_uop_put(s, (struct hr_uop){.op = U_BAD});
    cs_free(insn, 1);
}

uint32_t hr_uops_at(struct hr_uops *u, uint64_t pc)
{
    uint32_t i = hr_map_get(&u->at, pc);
    if (i != HR_NONE || u->sink.full)
        return i;
    decode(u, pc);
    return u->sink.full ? HR_NONE : hr_map_get(&u->at, pc);
}
