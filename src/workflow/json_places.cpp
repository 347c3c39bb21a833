#include "workflow/json_places.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_map>

namespace trireme::workflow {
namespace {

using Json = nlohmann::json;

std::string_view without_mark(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  return text;
}

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
}

/// How far the reader has come. It takes one byte after the other, and one beyond the end of a number.
struct Reached {
  const char* begin = nullptr;
  const char* next = nullptr;
  Position at{1, 1};  ///< of `next`
  Position last;      ///< of the byte before it

  void pass() {
    last = at;
    const char c = *next++;
    if (c == '\n') {
      at = {at.line + 1, 1};
    } else if (begins_character(c)) {
      ++at.column;
    }
  }

  /// Where the text in quotes begins whose end was just read.
  Position text() const {
    const char* p = next - 1;
    std::uint32_t characters = 0;
    const auto escaped = [this, &p] {  // by an odd number of backslashes
      const char* before = p;
      while (before > begin && before[-1] == '\\') --before;
      return (p - before) % 2 == 1;
    };
    do {
      if (begins_character(*--p)) ++characters;
    } while (*p != '"' || escaped());
    return {last.line, last.column - characters};
  }

  /// Where the number or word begins whose end was just read.
  Position word() const {
    const auto part = [](char c) {
      return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '+' || c == '.';
    };
    const char* p = next - 1;
    if (!part(*p)) --p;
    const char* const end = next - 1;
    while (p > begin && part(p[-1])) --p;
    return {last.line, last.column - static_cast<std::uint32_t>(end - p)};
  }
};

/// The bytes of a text, for nlohmann's reader; moves a Reached on.
class Bytes {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  explicit Bytes(Reached& reached) : reached_(&reached) {}
  explicit Bytes(const char* end) : end_(end) {}
  reference operator*() const { return *reached_->next; }
  Bytes& operator++() {
    reached_->pass();
    return *this;
  }
  bool operator==(const Bytes& other) const { return place() == other.place(); }
  bool operator!=(const Bytes& other) const { return place() != other.place(); }

 private:
  const char* place() const { return reached_ != nullptr ? reached_->next : end_; }

  Reached* reached_ = nullptr;
  const char* end_ = nullptr;
};

/// Goes through a text and is told of each value: its path, and where it begins.
class Walk : public nlohmann::json_sax<Json> {
 public:
  explicit Walk(std::string_view text) : text_(without_mark(text)) { reached_.begin = reached_.next = text_.data(); }
  ~Walk() override = default;
  Walk(const Walk&) = delete;
  Walk& operator=(const Walk&) = delete;

  void go() { Json::sax_parse(Bytes(reached_), Bytes(text_.data() + text_.size()), this); }
  const std::optional<JsonFlaw>& flaw() const { return flaw_; }

  bool null() override { return bare(); }
  bool boolean(bool) override { return bare(); }
  bool number_integer(number_integer_t) override { return bare(); }
  bool number_unsigned(number_unsigned_t) override { return bare(); }
  bool number_float(number_float_t, const string_t&) override { return bare(); }
  bool string(string_t&) override { return value(reached_.text()); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(false); }
  bool start_array(std::size_t) override { return open(true); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& key) override {
    path_.resize(open_.back().path);
    if (!path_.empty()) path_ += '.';
    path_ += key;
    return open_.size() > 1 || on_outer_key(key);
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception& error) override {
    // "[…] parse error at …: syntax error while … - FOUND; expected EXPECTED", or "…; last read: '…'"
    std::string_view what = error.what();
    if (const auto dash = what.find(" - "); dash != std::string_view::npos) what.remove_prefix(dash + 3);
    what = what.substr(0, what.find("; last read"));
    const auto expected = what.find("; expected ");
    flaw_ = JsonFlaw{reached_.last.line > 0 ? reached_.last : reached_.at, std::string(what.substr(0, expected)), ""};
    if (expected != std::string_view::npos)
      flaw_->expected = what.substr(expected + std::string_view("; expected ").size());
    return false;
  }

 protected:
  /// False ends the walk.
  virtual bool on_value(const std::string& path, Position at) = 0;
  virtual bool on_outer_key(const std::string&) { return true; }

 private:
  struct Level {
    std::size_t path = 0;  ///< length of its own path
    bool is_list = false;
    std::size_t next = 0;  ///< item
  };

  bool bare() { return value(reached_.word()); }
  bool value(Position at) {
    if (!open_.empty() && open_.back().is_list) {
      path_.resize(open_.back().path);
      path_ += '[' + std::to_string(open_.back().next++) + ']';
    }
    return on_value(path_, at);
  }
  bool open(bool is_list) {
    if (!value(reached_.last)) return false;
    open_.push_back({path_.size(), is_list, 0});
    return true;
  }
  bool close() {
    path_.resize(open_.back().path);
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  Reached reached_;
  std::string path_;
  std::vector<Level> open_;
  std::optional<JsonFlaw> flaw_;
};

class FlawSearch final : public Walk {
 public:
  using Walk::Walk;

 private:
  bool on_value(const std::string&, Position) override { return true; }
};

class KeySearch final : public Walk {
 public:
  KeySearch(std::string_view text, std::initializer_list<std::string_view> keys) : Walk(text), keys_(keys) {}
  bool found() const { return found_; }

 private:
  bool on_value(const std::string&, Position) override { return true; }
  bool on_outer_key(const std::string& key) override {
    found_ = std::find(keys_.begin(), keys_.end(), key) != keys_.end();
    return !found_;
  }

  std::vector<std::string_view> keys_;
  bool found_ = false;
};

class PlaceSearch final : public Walk {
 public:
  using Walk::Walk;

  /// The place of this value, and of all that it lies in, is wanted.
  void want(std::string path) {
    while (places_.try_emplace(path).second && !path.empty()) path = around(path);
  }
  Position of(std::string path) const {
    while (true) {
      const auto found = places_.find(path);
      if (found != places_.end() && found->second.line > 0) return found->second;
      if (path.empty()) return {};
      path = around(path);
    }
  }

 private:
  static std::string around(const std::string& path) {
    const auto end = path.find_last_of(".[");
    return end == std::string::npos ? "" : path.substr(0, end);
  }
  bool on_value(const std::string& path, Position at) override {
    if (const auto wanted = places_.find(path); wanted != places_.end()) wanted->second = at;
    return true;
  }

  std::unordered_map<std::string, Position> places_;
};

}  // namespace

bool has_outer_key(std::string_view text, std::initializer_list<std::string_view> keys) {
  const std::string_view json = without_mark(text);
  const std::size_t first = json.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos || json[first] != '{') return false;
  KeySearch search(text, keys);
  search.go();
  return search.found();
}

std::optional<JsonFlaw> find_flaw(std::string_view text) {
  FlawSearch search(text);
  search.go();
  return search.flaw();
}

void give_places(std::string_view text, std::vector<Diagnostic>& diagnostics) {
  if (diagnostics.empty()) return;
  PlaceSearch search(text);
  for (const Diagnostic& one : diagnostics) search.want(one.key);
  search.go();
  for (Diagnostic& one : diagnostics) {
    if (one.line > 0 || one.key.empty()) continue;
    const Position at = search.of(one.key);
    one.line = at.line;
    one.column = at.column;
  }
  std::stable_sort(diagnostics.begin(), diagnostics.end(), [](const Diagnostic& a, const Diagnostic& b) {
    return std::pair(a.line, a.column) < std::pair(b.line, b.column);
  });
}

}  // namespace trireme::workflow
