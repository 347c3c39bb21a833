// Links where the program's MPI is that of the library.
#include <trireme/runtime.hpp>

int main() {
  return trireme::run(MPI_COMM_NULL, {}, {}) ? 0 : 1;
}
