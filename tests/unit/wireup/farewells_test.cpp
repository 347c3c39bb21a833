// What a rank that says goodbye may rely on, and what libpmix may.
#include "launch/pmix/server/farewells.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

using trireme::pmix::Farewells;

namespace {

/// Counts answers; libpmix's end of a farewell.
class Rank {
 public:
  static void answer(pmix_status_t status, void* rank) {
    auto& self = *static_cast<Rank*>(rank);
    const std::scoped_lock lock(self.mutex_);
    self.answers_ += status == PMIX_SUCCESS ? 1 : 1000;
    self.changed_.notify_all();
  }
  int answers() {
    const std::scoped_lock lock(mutex_);
    return answers_;
  }
  bool answered() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), [&] { return answers_ > 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int answers_ = 0;
};

}  // namespace

TEST_CASE("each goodbye is answered once") {
  Rank one;
  Rank other;
  {
    Farewells farewells;
    farewells.add("task", &Rank::answer, &one);
    CHECK(one.answered());
    farewells.add("task", &Rank::answer, &other);
    CHECK(other.answered());
  }
  CHECK(one.answers() == 1);
  CHECK(other.answers() == 1);
}

TEST_CASE("a namespace that is closed gets no answers any more, and others get theirs") {
  Rank closed;
  Rank open;
  Farewells farewells;
  farewells.add("closed", &Rank::answer, &closed);
  farewells.add("open", &Rank::answer, &open);
  farewells.forget("closed");
  const int before = closed.answers();  // on a slow machine the moment may have been over
  CHECK(open.answered());
  CHECK(closed.answers() == before);
}

TEST_CASE("after the end of the server nobody is answered") {
  Rank late;
  Farewells farewells;
  farewells.add("task", &Rank::answer, &late);
  farewells.close();
  const int before = late.answers();
  Rank later;
  farewells.add("task", &Rank::answer, &later);
  CHECK(late.answers() == before);
  CHECK(later.answers() == 0);
}
