/* Functions for executors_test.cpp. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "trireme/function.h"

int echo(trireme_call* call);
int refuse(trireme_call* call);
int crash(trireme_call* call);
int stick(trireme_call* call);
int large(trireme_call* call);
int huge(trireme_call* call);
int leave(trireme_call* call);
int killed(trireme_call* call);
int overflow(trireme_call* call);
int no_json(trireme_call* call);
int no_text(trireme_call* call);
int deep(trireme_call* call);
int fork_back(trireme_call* call);
int mark(trireme_call* call);
int await_marks(trireme_call* call);

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

static int give(trireme_call* call, char byte, size_t size) {
  char* text = malloc(size);
  if (text == NULL) return 1;
  memset(text, byte, size);
  call->set(call, text, size);
  free(text);
  return 0;
}

int large(trireme_call* call) {
  return give(call, ' ', 2u << 20);
}

/* Longer than a frame may be. */
int huge(trireme_call* call) {
  return give(call, ' ', 16u << 20);
}

int deep(trireme_call* call) {
  return give(call, '[', 1u << 20);
}

int leave(trireme_call* call) {
  (void)call;
  exit(3);
}

int killed(trireme_call* call) {
  (void)call;
  return raise(SIGKILL);
}

static int fall(volatile char* above) {
  volatile char here[4096];
  here[0] = above[0];
  return here[0] == 'x' ? 0 : fall(here) + here[0];
}

int overflow(trireme_call* call) {
  (void)call;
  volatile char here[1] = {0};
  return fall(here);
}

int no_json(trireme_call* call) {
  call->set(call, "nan", 3);
  return 0;
}

int no_text(trireme_call* call) {
  call->set(call, "\"\xff\"", 3);
  return 0;
}

/* The child comes back from the function too. */
int fork_back(trireme_call* call) {
  const pid_t child = fork();
  if (child < 0) return 1;
  if (child > 0) {
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) return 2;
  }
  call->set(call, "\"once\"", 6);
  return 0;
}

/* Arguments are the JSON text "FILE": what is between the quotes. */
static void file_of(const trireme_call* call, int number, char* path, size_t size) {
  snprintf(path, size, "%.*s.%d", (int)call->args_length - 2, call->args + 1, number);
}

int mark(trireme_call* call) {
  char path[512];
  for (int number = 0; number < 1000; ++number) {
    file_of(call, number, path, sizeof path);
    FILE* file = fopen(path, "wx");
    if (file == NULL) continue;
    fclose(file);
    return 0;
  }
  return 1;
}

int await_marks(trireme_call* call) {
  char path[512];
  file_of(call, 15, path, sizeof path);
  for (int tries = 0; tries < 20000; ++tries) {
    if (access(path, F_OK) == 0) return 0;
    usleep(1000);
  }
  call->fail(call, "the marks were not made");
  return 1;
}
