/* Loaded with dlopen: its thread-local block is too large for the static TLS reserve, so each thread's copy is malloc'ed. */
void *data_slots[16 * 24] = {(void *)1};
static __thread void *slots[24 * 20];
void **dynamic_slots(void);
void **dynamic_slots(void) { return slots; }
