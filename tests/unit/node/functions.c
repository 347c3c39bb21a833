/* Functions for executors_test.cpp. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trireme/function.h"

int echo(trireme_call* call);
int refuse(trireme_call* call);
int crash(trireme_call* call);
int stick(trireme_call* call);
int large(trireme_call* call);

int echo(trireme_call* call) {
  call->set(call, call->args, call->args_length);
  return 0;
}

int refuse(trireme_call* call) {
  call->fail(call, "not today");
  return 1;
}

int crash(trireme_call* call) {
  (void)call;
  abort();
}

int stick(trireme_call* call) {
  (void)call;
  for (;;) pause();
}

int large(trireme_call* call) {
  const size_t size = 2u << 20;
  char* text = malloc(size);
  if (text == NULL) return 1;
  memset(text, ' ', size);
  call->set(call, text, size);
  free(text);
  return 0;
}
