/* Functions that a workflow may call as tasks, without a process for each: C ABI.
 *
 *   tasks:
 *     energy:
 *       function: {library: ./libmine.so, symbol: energy}
 *       args: [1.5, {result: prepare}]
 *
 * A call is made in a warm executor process: `args` is the JSON of the task's `args`, with the results of other tasks filled in.
 * The function gives its own result as JSON with `set` (at most 1 MiB; nothing: null) and returns 0; any other value is a failure,
 * in the words that it gives with `fail`. Calls of one executor are made one after the other, by one thread. A crash fails the
 * call alone: the executor is replaced.
 */
#ifndef TRIREME_FUNCTION_H
#define TRIREME_FUNCTION_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct trireme_call {
  const char* args; /* JSON, followed by a zero */
  size_t args_length;
  /* The result of this call; the bytes are copied. The last one counts. */
  void (*set)(struct trireme_call* call, const char* json, size_t length);
  /* Why it failed, in words for the user. */
  void (*fail)(struct trireme_call* call, const char* text);
} trireme_call;

typedef int (*trireme_function)(trireme_call* call);

#ifdef __cplusplus
}
#endif

#endif
