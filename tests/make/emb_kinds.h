/* The written heaps of microcontrollers, by name: for the unit test, the sweep and the fuzz target. */
#ifndef HR_TESTS_EMB_KINDS_H
#define HR_TESTS_EMB_KINDS_H

#include "tests/make/mk_emb.h"

struct kind {
    const char *name;
    void (*write)(struct mk_emb *e);
    struct mk_emb set; /* word 0: both word sizes */
};

static const struct kind kinds[] = {
    {"dlmalloc 2.8", mk_dlmalloc, {.unit = 16, .least = 32, .head = 16}},
    {"dlmalloc 2.8, aligned to 16", mk_dlmalloc, {.word = 4, .unit = 16, .least = 32, .head = 16, .flavour = 1}},
    {"umm_malloc", mk_umm, {.unit = 8, .least = 8, .head = 4, .body = 8}},
    {"umm_malloc, blocks of 16, no config", mk_umm, {.unit = 16, .least = 16, .head = 4, .body = 16, .flavour = 1}},
    {"umm_malloc, poison", mk_umm, {.unit = 8, .least = 8, .head = 14, .body = 8, .poison = 2}},
    {"umm_malloc, poison of the ESP8266", mk_umm, {.unit = 8, .least = 8, .head = 16, .body = 8, .poison = 4, .flavour = 1}},
    {"lwIP, 16 bits", mk_lwip, {.unit = 4, .least = 20, .head = 8, .width = 2}},
    {"lwIP, 16 bits, variables", mk_lwip, {.unit = 4, .least = 20, .head = 8, .width = 2, .flavour = 1}},
    {"lwIP, 32 bits", mk_lwip, {.word = 4, .unit = 4, .least = 24, .head = 12, .width = 4}},
    {"lwIP, 32 bits, aligned to 8", mk_lwip, {.unit = 8, .least = 32, .head = 16, .width = 4, .flavour = 1}},
    {"lwIP, guarded", mk_lwip, {.word = 4, .unit = 4, .least = 64, .head = 8 + 32, .width = 2, .poison = 1}},
    {"lwIP, 32 bits, guarded", mk_lwip, {.word = 4, .unit = 4, .least = 64, .head = 16 + 32, .width = 4, .poison = 1, .flavour = 1}},
    {"ThreadX byte pool", mk_threadx, {.word = 4, .unit = 4, .least = 28, .head = 8, .width = 4, .apart = true}},
    {"ThreadX byte pool, 64 bits", mk_threadx, {.word = 8, .unit = 8, .least = 40, .head = 16, .width = 8, .apart = true}},
    {"ThreadX byte pool, 64 bits, ULONG of 32", mk_threadx, {.word = 8, .unit = 8, .least = 40, .head = 16, .width = 4}},
    {"ThreadX block pool", mk_threadx_blocks, {.unit = 24, .least = 24, .head = 4, .width = 4, .apart = true}},
    {"Zephyr", mk_zephyr, {.word = 4, .unit = 8, .least = 8, .head = 4, .width = 2}},
    {"Zephyr, sums, k_malloc", mk_zephyr, {.word = 4, .unit = 8, .least = 8, .head = 4, .width = 2, .flavour = 3}},
    {"Zephyr, 8-byte headers", mk_zephyr, {.unit = 8, .least = 16, .head = 8, .width = 4}},
    {"Zephyr, 8-byte headers, sums, k_malloc", mk_zephyr, {.unit = 8, .least = 16, .head = 8, .width = 4, .flavour = 3}},
    {"Zephyr, canaries", mk_zephyr, {.word = 4, .unit = 8, .least = 16, .head = 12, .width = 2, .flavour = 10}},
    {"Zephyr, 8-byte headers, canaries", mk_zephyr, {.word = 8, .unit = 8, .least = 24, .head = 16, .width = 4, .flavour = 8}},
    {"Zephyr 2.4", mk_zephyr, {.word = 4, .unit = 8, .least = 8, .head = 4, .width = 2, .flavour = 4}},
    {"ESP-IDF 5.1", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 4}},
    {"ESP-IDF 5.1, light poisoning", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 16, .poison = 1}},
    {"ESP-IDF 5.1, comprehensive poisoning", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 16, .poison = 2}},
    {"ESP-IDF 5.1, tracked", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 8, .flavour = 4}},
    {"ESP-IDF 5.1, tracked and poisoned", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 20, .flavour = 4, .poison = 1}},
    {"Espressif's TLSF alone", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 4, .flavour = 16}},
    {"ESP-IDF 4.4", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 4, .flavour = 1, .width = 12}},
    {"ESP-IDF 5.0, poison with owner", mk_esp_tlsf, {.word = 4, .unit = 4, .least = 16, .head = 20, .flavour = 9, .width = 15, .poison = 1}},
    {"ESP-IDF 4.2", mk_esp_old, {.word = 4, .unit = 4, .least = 8, .head = 4}},
    {"ESP-IDF 4.2, comprehensive poisoning", mk_esp_old, {.word = 4, .unit = 4, .least = 8, .head = 16, .poison = 2}},
    {"ESP-IDF 3.3, poison with owner", mk_esp_old, {.word = 4, .unit = 4, .least = 8, .head = 20, .flavour = 8, .poison = 1}},
    {"Zephyr slab", mk_zephyr_slab, {.unit = 32, .least = 32, .head = 4, .apart = true}},
    {"Zephyr slab, a lock", mk_zephyr_slab, {.unit = 32, .least = 32, .head = 4, .width = 1, .apart = true}},
    {"Zephyr slab before 3.5", mk_zephyr_slab, {.unit = 32, .least = 32, .head = 4, .flavour = 1, .width = 2, .apart = true}},
};
enum { NKINDS = sizeof kinds / sizeof *kinds };

static struct mk_emb emb_make(const struct kind *k, unsigned word, bool big, uint64_t seed, uint64_t total, unsigned steps)
{
    struct mk_emb e = k->set;
    e.word = word;
    e.big = big;
    e.seed = 88172645463325252ull + seed * 7919;
    e.total = total / e.unit * e.unit;
    mk_emb_model(&e, steps);
    k->write(&e);
    return e;
}

#endif
