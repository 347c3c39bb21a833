#include "node/log_tail.hpp"

#include <doctest/doctest.h>

#include "bench.hpp"

using namespace trireme;
namespace fs = std::filesystem;
using test::write;

TEST_CASE("the tail of a log is its last lines, cut at a line") {
  const test::Folder folder;
  const fs::path log = folder.path() / "log";
  CHECK(tail_of_file(log, 3, 100).empty());
  write(log, "");
  CHECK(tail_of_file(log, 3, 100).empty());
  write(log, "one\ntwo\nthree\nfour\n");
  CHECK(tail_of_file(log, 3, 100) == "two\nthree\nfour");
  CHECK(tail_of_file(log, 9, 100) == "one\ntwo\nthree\nfour");
  CHECK(tail_of_file(log, 9, 13) == "three\nfour");
  write(log, "no line end");
  CHECK(tail_of_file(log, 3, 100) == "no line end");
  write(log, "\n\n\na");
  CHECK(tail_of_file(log, 2, 100) == "\na");
}

TEST_CASE("of what a program draws on a terminal the end of its log keeps the text") {
  CHECK(end_of_text("\x1b[31;1mno model\x1b[0m\r\nstop\a", false, 9) == "no model\nstop");
  CHECK(end_of_text("start\n 10%\r 50%\r100%\r\nheld\tup\r", false, 9) == "start\n100%\nheld\tup");
  CHECK(end_of_text("half \x1b[3", false, 9) == "half ");
  CHECK(end_of_text("caf\xc3\xa9 \x1b(Bok \x1b[3\nnext\x1b", false, 9) == "caf\xc3\xa9 ok \nnext");
}
