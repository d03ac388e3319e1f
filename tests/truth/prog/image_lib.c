/* A library with thread-local storage of its own, linked to or loaded later by image_prog.c. */
__thread long lib_tls[5] = {77, 78};
int lib_data[2000] = {5};
int lib_bss[5000];
const char lib_rodata[] = "read-only text of the library";
long *lib_here(void);
long *lib_here(void)
{
    lib_tls[2]++;
    return lib_tls;
}
