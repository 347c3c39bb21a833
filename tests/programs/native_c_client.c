/* native_c_client: a task that asks a native service through the C API, and prints "well" if all is as it should be. */
#include <stdio.h>
#include <string.h>

#include "trireme/native.h"

int main(void) {
  trireme_native_client* client = trireme_native_open(NULL, NULL);
  trireme_native_pending* pending[200];
  trireme_native_answer answer;
  int i, wrong = 0;
  for (i = 0; i < 200; ++i) {
    char body[16];
    const int size = snprintf(body, sizeof body, "%d", i);
    pending[i] = trireme_native_submit(client, "asked", "/", body, (size_t)size, 60);
  }
  for (i = 0; i < 200; ++i) {
    char body[16];
    snprintf(body, sizeof body, "%d", i);
    if (trireme_native_wait(pending[i], &answer) != TRIREME_NATIVE_OK || answer.status != 200 ||
        strcmp(answer.body, body) != 0) {
      printf("wrong: %d: %d %s %s\n", i, answer.status, answer.body, answer.error);
      wrong = 1;
    }
    trireme_native_release(&answer);
  }
  if (trireme_native_request(client, "nobody", "/", "", 0, 60, &answer) != TRIREME_NATIVE_OK || answer.status != 404)
    wrong = 1;
  trireme_native_release(&answer);
  pending[0] = trireme_native_submit(client, "asked", "/wait", "", 0, 60);
  trireme_native_cancel(pending[0]);
  if (trireme_native_wait(pending[0], &answer) != TRIREME_NATIVE_CANCELLED) wrong = 1;
  trireme_native_release(&answer);
  trireme_native_close(client);
  if (!wrong) printf("well\n");
  return wrong;
}
