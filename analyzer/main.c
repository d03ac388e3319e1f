#include "analyzer/heapray.h"

int main(int argc, char **argv) { return heapray_main(argc, argv); }
