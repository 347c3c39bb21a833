// A program that uses PMIx's own client API and no MPI: each rank publishes a value, all fence, and each reads every other's, those
// of one half collected by the fence, those of the other by direct modex. Prints "ranks N read R" from rank 0, with R summed up.
// What our servers do not offer is asked for too, and has to be refused and not to hang; with the argument `any`, other servers may
// offer it. With the argument `wait`, all but the last rank enter a fence that the last one never does; each says so when its server
// knows. With `collected` the first half is all: no direct modex.
#include <pmix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void check(const char* what, pmix_status_t status) {
  if (status == PMIX_SUCCESS) return;
  fprintf(stderr, "%s: %s\n", what, PMIx_Error_string(status));
  exit(2);
}

static void put(const char* key, uint32_t number, pmix_scope_t scope) {
  pmix_value_t value;
  PMIX_VALUE_CONSTRUCT(&value);
  value.type = PMIX_UINT32;
  value.data.uint32 = number;
  check("PMIx_Put", PMIx_Put(scope, key, &value));
}

static uint32_t get(const pmix_proc_t* self, pmix_rank_t rank, const char* key) {
  pmix_proc_t other;
  PMIX_LOAD_PROCID(&other, self->nspace, rank);
  pmix_value_t* value = NULL;
  check(key, PMIx_Get(&other, key, NULL, 0, &value));
  const uint32_t number = value->data.uint32;
  PMIX_VALUE_RELEASE(value);
  return number;
}

static void on_fence(pmix_status_t status, void* argument) {
  (void)status;
  (void)argument;
}

static void wait_for_the_last(const pmix_proc_t* self, uint32_t size) {
  if (self->rank + 1 < size) check("PMIx_Fence_nb", PMIx_Fence_nb(NULL, 0, NULL, 0, &on_fence, NULL));
  put("test.waits", 1, PMIX_GLOBAL);
  check("PMIx_Commit", PMIx_Commit());  // is answered, after what was said before it
  printf("rank %u waits\n", self->rank);
  fflush(stdout);
  for (;;) pause();
}

// What no fence has collected: fetched from the rank's own server when it is asked for.
static uint32_t fetch_from_all(const pmix_proc_t* self, uint32_t size) {
  put("test.fetched", 100 * (self->rank + 1), PMIX_GLOBAL);
  check("PMIx_Commit", PMIx_Commit());
  check("PMIx_Fence", PMIx_Fence(NULL, 0, NULL, 0));
  uint32_t read = 0;
  for (pmix_rank_t rank = 0; rank < size; ++rank) read += get(self, rank, "test.fetched");
  return read;
}

static void publish(bool any) {
  pmix_info_t name;
  PMIX_INFO_CONSTRUCT(&name);
  PMIX_INFO_LOAD(&name, "test.port", "here", PMIX_STRING);
  const pmix_status_t refused = PMIx_Publish(&name, 1);
  if (refused == PMIX_ERR_NOT_SUPPORTED || any) return;
  fprintf(stderr, "PMIx_Publish: %s\n", PMIx_Error_string(refused));
  exit(3);
}

int main(int argc, char** argv) {
  const char* what = argc > 1 ? argv[1] : "";
  pmix_proc_t self;
  check("PMIx_Init", PMIx_Init(&self, NULL, 0));
  const uint32_t size = get(&self, PMIX_RANK_WILDCARD, PMIX_JOB_SIZE);
  if (strcmp(what, "wait") == 0) wait_for_the_last(&self, size);

  put("test.collected", self.rank + 1, PMIX_GLOBAL);
  check("PMIx_Commit", PMIx_Commit());
  bool yes = true;
  pmix_info_t collect;
  PMIX_INFO_CONSTRUCT(&collect);
  PMIX_INFO_LOAD(&collect, PMIX_COLLECT_DATA, &yes, PMIX_BOOL);
  check("PMIx_Fence", PMIx_Fence(NULL, 0, &collect, 1));
  uint32_t read = 0;
  for (pmix_rank_t rank = 0; rank < size; ++rank) read += get(&self, rank, "test.collected");

  if (strcmp(what, "collected") != 0) {
    read += fetch_from_all(&self, size);
    publish(strcmp(what, "any") == 0);
  }
  check("PMIx_Fence", PMIx_Fence(NULL, 0, NULL, 0));
  if (self.rank == 0) printf("ranks %u read %u\n", size, read);
  fflush(stdout);
  check("PMIx_Finalize", PMIx_Finalize(NULL, 0));
  return 0;
}
