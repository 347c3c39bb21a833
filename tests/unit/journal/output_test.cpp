// The streamed output of a node: what is written is found again, and what is torn is known as such.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "journal/output_reader.hpp"
#include "journal/output_writer.hpp"
#include "support.hpp"

using namespace trireme;
namespace fs = std::filesystem;

namespace {

const OutputSource one{"one", 0, 0, false};
const OutputSource one_err{"one", 0, 0, true};
const OutputSource again{"one", 1, 0, false};
const OutputSource other{"another-one", 0, 0, false};

struct Files {
  test::TemporaryFolder folder;
  fs::path data = folder.path() / "output";
  fs::path index = folder.path() / "output.index";

  OutputWriter writer() const {
    auto opened = OutputWriter::open(data, index);
    REQUIRE(opened.ok());
    return std::move(*opened);
  }
  OutputReader reader(const OutputSource& source) const { return {data, index, source}; }
  std::string all(const OutputSource& source) const {
    auto reader = this->reader(source);
    return rest(reader);
  }
  static std::string rest(OutputReader& reader) {
    std::string out;
    reader.read_new([&](std::string_view bytes) { out += bytes; });
    return out;
  }
};

}  // namespace

TEST_CASE("pieces of several tasks are told apart: by task, attempt and stream") {
  const Files files;
  auto writer = files.writer();
  REQUIRE(writer.append({{&one, "a1"}, {&other, "b1"}, {&one_err, "e1"}}).ok());
  REQUIRE(writer.append({{&again, "a2"}, {&one, std::string_view("\0\n\xff", 3)}}).ok());
  CHECK(files.all(one) == std::string("a1\0\n\xff", 5));
  CHECK(files.all(one_err) == "e1");
  CHECK(files.all(again) == "a2");
  CHECK(files.all(other) == "b1");
  CHECK(files.all({"nobody", 0, 0, false}).empty());
  CHECK(files.all({"one", 0, 1, false}).empty());
}

TEST_CASE("a reader goes on from where it was") {
  const Files files;
  auto reader = files.reader(one);
  CHECK(Files::rest(reader).empty());
  auto writer = files.writer();
  REQUIRE(writer.append({{&one, "first "}}).ok());
  CHECK(Files::rest(reader) == "first ");
  REQUIRE(writer.append({{&other, "-"}, {&one, "second"}}).ok());
  CHECK(Files::rest(reader) == "second");
  CHECK(Files::rest(reader).empty());
}

TEST_CASE("the tail is the last whole pieces") {
  const Files files;
  auto writer = files.writer();
  for (const std::string_view text : {"aaaa", "bbbb", "cccc"}) REQUIRE(writer.append({{&one, text}}).ok());
  CHECK(files.reader(one).tail(1) == "cccc");
  CHECK(files.reader(one).tail(5) == "bbbbcccc");
  CHECK(files.reader(one).tail(100) == "aaaabbbbcccc");
}

TEST_CASE("a torn line is passed over wherever it was cut, and the next writer goes on after it") {
  const Files whole;
  {
    auto writer = whole.writer();
    REQUIRE(writer.append({{&one, "kept "}}).ok());
  }
  const auto before = fs::file_size(whole.index);
  {
    auto writer = whole.writer();
    REQUIRE(writer.append({{&one, "torn"}}).ok());
  }
  const auto after = fs::file_size(whole.index);
  for (auto cut = before; cut < after; ++cut) {
    const Files files;
    fs::copy_file(whole.data, files.data);
    fs::copy_file(whole.index, files.index);
    fs::resize_file(files.index, cut);
    CHECK(files.all(one) == "kept ");
    auto writer = files.writer();
    REQUIRE(writer.append({{&one, "new"}}).ok());
    // A whole line that lacks its end alone is whole.
    CHECK(files.all(one) == (cut + 1 == after ? "kept tornnew" : "kept new"));
  }
}

TEST_CASE("bytes that are missing or changed are counted and left out") {
  const Files files;
  auto writer = files.writer();
  REQUIRE(writer.append({{&one, "aaaa"}, {&one, "bbbb"}, {&one, "cccc"}}).ok());
  {
    std::fstream data(files.data, std::ios::in | std::ios::out | std::ios::binary);
    data.seekp(5);
    data.put('X');
  }
  fs::resize_file(files.data, 10);
  auto reader = files.reader(one);
  CHECK(Files::rest(reader) == "aaaa");
  CHECK(reader.damaged() == 2);
}

TEST_CASE("a full disk is an error in words") {
  if (!fs::exists("/dev/full")) return;
  const Files files;
  fs::create_symlink("/dev/full", files.data);
  auto writer = files.writer();
  const auto full = writer.append({{&one, "a"}});
  REQUIRE_FALSE(full.ok());
  CHECK(full.error().what == "cannot write: No space left on device");
  CHECK(full.error().where == files.data.string());
  CHECK(files.all(one).empty());
}

TEST_CASE("lines that are no records of ours are none") {
  const OutputRecord record{{"a%20b", 2, 3, true}, 17, 4, 0xdeadbeef};
  std::string line = to_line(record);
  line.pop_back();
  CHECK(parse_output_line(line) == record);
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::string changed = line;
    changed[i] = changed[i] == '1' ? '2' : '1';
    CHECK_FALSE(parse_output_line(changed));
    CHECK_FALSE(parse_output_line(line.substr(0, i)));
  }
  CHECK_FALSE(parse_output_line(output_index_head));
}
