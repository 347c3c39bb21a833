/* The C API, used from C. Returns null, or what went wrong. */
#include <stdio.h>
#include <string.h>
#include <threads.h>

#include "trireme/native.h"

static int wait_for_it(void* pending) {
  trireme_native_answer answer;
  const trireme_native_outcome outcome = trireme_native_wait(pending, &answer);
  trireme_native_release(&answer);
  return (int)outcome;
}

static const char* cancel_from_another_thread(trireme_native_client* client) {
  trireme_native_pending* const pending = trireme_native_submit(client, "any", "/wait", "", 0, 20);
  trireme_native_pending* const same = trireme_native_share(pending);
  thrd_t waiter;
  int outcome = -1;
  if (same == NULL || thrd_create(&waiter, wait_for_it, pending) != thrd_success) return "no second handle or thread";
  trireme_native_cancel(same);
  thrd_join(waiter, &outcome);
  trireme_native_cancel(same);
  trireme_native_drop(same);
  return outcome == TRIREME_NATIVE_CANCELLED ? NULL : "not cancelled by another thread";
}

const char* use_from_c(const char* socket) {
  trireme_native_client* client = trireme_native_open(socket, "");
  trireme_native_answer answer;
  trireme_native_pending* pending[32];
  const char* wrong = NULL;
  int i;
  if (client == NULL) return "no client";
  if (trireme_native_request(client, "any", "/", "hello", 5, 20, &answer) != TRIREME_NATIVE_OK) wrong = "no answer";
  if (wrong == NULL && (answer.status != 201 || answer.length != 5 || strcmp(answer.body, "hello") != 0))
    wrong = "another answer";
  trireme_native_release(&answer);
  for (i = 0; i < 32; ++i) {
    char body[16];
    const int size = snprintf(body, sizeof body, "%d", i);
    pending[i] = trireme_native_submit(client, "any", "/", body, (size_t)size, 20);
  }
  for (i = 0; i < 32; ++i) {
    char body[16];
    snprintf(body, sizeof body, "%d", i);
    if (trireme_native_wait(pending[i], &answer) != TRIREME_NATIVE_OK) wrong = "no pipelined answer";
    if (strcmp(answer.body, body) != 0) wrong = "another's answer";
    trireme_native_release(&answer);
  }
  if (trireme_native_request(client, "a service", "/", "", 0, 20, &answer) != TRIREME_NATIVE_INVALID)
    wrong = "an invalid request left";
  if (wrong == NULL && strlen(answer.error) == 0) wrong = "no words";
  trireme_native_release(&answer);
  if (trireme_native_request(client, "any", "/wait", "", 0, 0.05, &answer) != TRIREME_NATIVE_DEADLINE)
    wrong = "no deadline";
  trireme_native_release(&answer);
  pending[0] = trireme_native_submit(client, "any", "/wait", "", 0, 20);
  trireme_native_cancel(pending[0]);
  if (trireme_native_wait(pending[0], &answer) != TRIREME_NATIVE_CANCELLED) wrong = "not cancelled";
  trireme_native_release(&answer);
  if (wrong == NULL) wrong = cancel_from_another_thread(client);
  trireme_native_close(client);
  client = trireme_native_open("/nowhere/at/all", NULL);
  if (trireme_native_request(client, "any", "/", "", 0, 20, &answer) != TRIREME_NATIVE_UNREACHABLE)
    wrong = "somebody answered";
  trireme_native_release(&answer);
  trireme_native_close(client);
  return wrong;
}
