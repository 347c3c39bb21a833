/* A function that does nothing: what is left is the way to it and back. */
#include "trireme/function.h"

int noop(trireme_call* call);
int noop(trireme_call* call) {
  (void)call;
  return 0;
}
