#ifndef FIRMWARE_H
#define FIRMWARE_H
void say(const char *text); /* to the debugger's console: the truth must leave no copy of a pointer in RAM */
#endif
