/* Loaded into release builds: the same "random" numbers in every build. promql-parser's build
   script keeps the states of its parser in hash maps, whose order is random, and writes them into
   the program in that order. */
#include <string.h>
#include <sys/random.h>

ssize_t getrandom(void *bytes, size_t length, unsigned int flags) {
  (void)flags;
  memset(bytes, 0x5a, length);
  return (ssize_t)length;
}
