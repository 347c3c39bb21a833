// The least that a program costs which looks around every few milliseconds: what an idle rank is compared with.
//
//   bare_sleep MICROSECONDS    sleeps for so long, again and again, until it is ended
#include <chrono>
#include <cstdlib>
#include <thread>

int main(int argc, char** argv) {
  const std::chrono::microseconds pause(argc == 2 ? std::atoi(argv[1]) : 0);
  if (pause.count() <= 0) return 2;
  for (;;) std::this_thread::sleep_for(pause);
}
