#include "core/words.hpp"

#include <doctest/doctest.h>

TEST_CASE("what would steer a terminal is written out, and all other text stays") {
  using trireme::Newlines;
  using trireme::printable;
  CHECK(printable("train[p=\x1b[31mred\n\t\x7f]") == "train[p=\\x1b[31mred\\n\\t\\x7f]");
  CHECK(printable("two\nlines\tof\r\x07", Newlines::kept) == "two\nlines\tof\\x0d\\x07");
  CHECK(printable("Zürich → 東京 ✓") == "Zürich → 東京 ✓");
  CHECK(printable("\xc2\x9b"
                  "2J") == "\\x9b2J");
  CHECK(printable("\xc2") == "\xc2");
  CHECK(printable("\xc2\xa0") == "\xc2\xa0");
}
