#!/bin/sh
# build.sh BOARD LIBC OUT.elf [COMPILER ARGUMENT...]: the sample for one of QEMU's boards (lm3s stm32vl mps2 microbit netduino rv32) with one C library (nano newlib pico).
# PROGRAM: another source file instead of heapdemo.c.
set -e
board=$1 libc=$2 out=$3
shift 3
here=$(dirname "$0")
heap=6K scale=2
case $board in
lm3s)     cpu="-mcpu=cortex-m3 -mthumb" flash="0 256K" ram="0x20000000 64K" scale=4 heap=24K ;;
stm32vl)  cpu="-mcpu=cortex-m3 -mthumb" flash="0x08000000 128K" ram="0x20000000 8K" scale=1 heap=4K ;;
mps2)     cpu="-mcpu=cortex-m3 -mthumb" flash="0 4M" ram="0x20000000 32K" heap=12K scale=3 ;;
microbit) cpu="-mcpu=cortex-m0 -mthumb" flash="0 256K" ram="0x20000000 16K" ;;
netduino) cpu="-mcpu=cortex-m4 -mthumb" flash="0x08000000 1M" ram="0x20000000 128K" heap=64K scale=5 ;;
rv32)     cpu="-march=rv32imac -mabi=ilp32 -mcmodel=medany" flash="0x80000000 1M" ram="0x80100000 64K" heap=24K scale=4 ;;
rv64)     cpu="-march=rv64imac -mabi=lp64 -mcmodel=medany" flash="0x80000000 1M" ram="0x80100000 64K" heap=32K scale=4 ;;
*) echo "no board $board" >&2; exit 2 ;;
esac
case $board in rv*) cc=riscv64-unknown-elf-gcc ;; *) cc=arm-none-eabi-gcc ;; esac
case $libc in
nano)   lib="--specs=nano.specs --specs=nosys.specs" ;;
newlib) lib="--specs=nosys.specs" ;;
pico)   lib="--specs=picolibc.specs -DPICOLIBC" ;;
*) echo "no C library $libc" >&2; exit 2 ;;
esac
$cc $cpu $lib -std=gnu11 -O1 -g -Wall -Wextra -ffunction-sections -DSCALE=$scale -nostartfiles -T "$here/link.ld" \
    -Wl,--defsym=FLASH_AT=${flash% *},--defsym=FLASH_SIZE=${flash#* },--defsym=RAM_AT=${ram% *},--defsym=RAM_SIZE=${ram#* } \
    -Wl,--defsym=HEAP_SIZE=$heap,--gc-sections,--no-warn-rwx-segments -o "$out" "$here/start.c" "${PROGRAM:-$here/heapdemo.c}" "$@"
