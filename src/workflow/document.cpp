#include "workflow/document.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <streambuf>
#include <unordered_map>

#include "core/defaults.hpp"

namespace trireme::workflow {
namespace {

/// Ends the reading of a document; caught in read_document.
struct Stop {
  Position at;
  std::string message;
  std::string hint;
};

/// Lines and columns (in characters) of byte offsets.
class Lines {
 public:
  explicit Lines(std::string_view text) : text_(text), starts_{0} {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] == '\n') starts_.push_back(i + 1);
    }
  }

  Position position(std::size_t offset) const {
    offset = std::min(offset, text_.size());
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), offset);
    const std::size_t start = *(after - 1);
    std::uint32_t column = 1;
    for (std::size_t i = start; i < offset; ++i) {
      if ((static_cast<unsigned char>(text_[i]) & 0xC0) != 0x80) ++column;
    }
    return {static_cast<std::uint32_t>(after - starts_.begin()), column};
  }
  Position position(const YAML::Mark& mark) const {
    return position(mark.pos < 0 ? 0 : static_cast<std::size_t>(mark.pos));
  }
  std::string_view line(std::uint32_t number) const {
    if (number == 0 || number > starts_.size()) return {};
    const std::string_view rest = text_.substr(starts_[number - 1]);
    return rest.substr(0, rest.find('\n'));
  }

 private:
  std::string_view text_;
  std::vector<std::size_t> starts_;
};

/// How many bytes the UTF-8 character at the front of `text` has; 0 where it is none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  std::size_t length = 0;
  std::uint32_t code = 0;
  if (first >= 0xC2 && first <= 0xDF) {
    length = 2;
    code = first & 0x1Fu;
  } else if (first >= 0xE0 && first <= 0xEF) {
    length = 3;
    code = first & 0x0Fu;
  } else if (first >= 0xF0 && first <= 0xF4) {
    length = 4;
    code = first & 0x07u;
  } else {
    return 0;
  }
  if (text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  const bool overlong = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
  return overlong || surrogate || code > 0x10FFFF ? 0 : length;
}

std::string hex(unsigned char byte) {
  constexpr std::string_view digits = "0123456789abcdef";
  return {'0', 'x', digits[byte >> 4], digits[byte & 15]};
}

/// YAML is text: the first byte that is none ends the reading. yaml-cpp would guess an encoding from it.
void check_text(std::string_view text, const Lines& lines) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const std::size_t length = utf8_length(text.substr(at));
    if (length == 0) {
      throw Stop{lines.position(at), "the file is not UTF-8: byte " + hex(byte), ""};
    }
    if ((byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t') || byte == 0x7F) {
      throw Stop{lines.position(at), "the file holds a control character: byte " + hex(byte), ""};
    }
    at += length;
  }
}

/// A stream over bytes that are not copied.
class ViewBuffer : public std::streambuf {
 public:
  explicit ViewBuffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // a streambuf that is only read never writes
    setg(begin, begin, begin + text.size());
  }
};

/// What a copy of a node costs: deep texts count too, or an alias bomb could be made of one long text.
std::size_t weight(const Node& node) {
  constexpr std::size_t bytes_per_node = 128;
  std::size_t total = 1 + node.text.size() / bytes_per_node;
  for (const Node& item : node.items) total += weight(item);
  for (const Entry& entry : node.entries) total += 1 + weight(entry.value);
  return total;
}

std::size_t depth(const Node& node) {
  std::size_t deepest = 0;
  for (const Node& item : node.items) deepest = std::max(deepest, depth(item));
  for (const Entry& entry : node.entries) deepest = std::max(deepest, depth(entry.value));
  return node.is_list() || node.is_map() ? deepest + 1 : 0;
}

/// Builds the tree out of yaml-cpp's events. The nodes that are still open are a stack.
class YamlBuilder : public YAML::EventHandler {
 public:
  YamlBuilder(std::string_view text, const Lines& lines, Diagnostics& diagnostics)
      : text_(text), lines_(lines), diagnostics_(diagnostics) {}

  std::optional<Node> take_root() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_) {
      throw Stop{lines_.position(mark), "a second document starts here", "a workflow file is one YAML document"};
    }
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Node node;
    node.at = lines_.position(mark);
    finish(std::move(node), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.kind = Node::Kind::scalar;
    node.at = lines_.position(mark);
    check_tag(tag, node.at, "tag:yaml.org,2002:str");
    check_closed(mark, node.at);
    node.quoted = tag != "?";
    node.text = value;
    finish(std::move(node), anchor);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::Kind::list, mark, tag, anchor);
  }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::Kind::map, mark, tag, anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapEnd() override { close(); }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const Position at = lines_.position(mark);
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) throw Stop{at, "an alias stands inside the node that it names", ""};
    spend(weight(found->second), at);
    if (stack_.size() + depth(found->second) > defaults::workflow_depth) throw too_deep(at);
    finish(Node(found->second), 0);
  }

 private:
  struct Open {
    Node node;
    YAML::anchor_t anchor = 0;
    bool have_key = false;
    bool merge = false;  ///< the value to come is that of `<<`
    std::string key;
    Position key_at;
    std::unordered_map<std::string, std::size_t> known;  ///< key to its index
  };

  static Stop too_deep(Position at) {
    return {at, "lists and maps are nested more than " + std::to_string(defaults::workflow_depth) + " deep", ""};
  }

  void spend(std::size_t nodes, Position at) {
    alias_nodes_ += nodes;
    if (alias_nodes_ > defaults::workflow_alias_nodes) {
      throw Stop{at, "aliases make the file too large",
                 "they may add " + std::to_string(defaults::workflow_alias_nodes) + " nodes"};
    }
  }

  static void check_tag(const std::string& tag, Position at, std::string_view own) {
    if (tag.empty() || tag == "?" || tag == "!" || tag == own) return;
    throw Stop{at, "the tag " + in_quotes(tag) + " is not understood", "leave it out"};
  }

  /// yaml-cpp takes the end of the file for the end of a quoted text.
  void check_closed(const YAML::Mark& mark, Position at) const {
    auto i = static_cast<std::size_t>(mark.pos);
    if (i >= text_.size() || (text_[i] != '"' && text_[i] != '\'')) return;
    const char quote = text_[i];
    for (++i; i < text_.size(); ++i) {
      if (quote == '"' && text_[i] == '\\') {
        ++i;
      } else if (text_[i] == quote) {
        if (quote == '"' || i + 1 >= text_.size() || text_[i + 1] != quote) return;
        ++i;
      }
    }
    throw Stop{at, "the quote that opens here is not closed", ""};
  }

  void open(Node::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    const Position at = lines_.position(mark);
    check_tag(tag, at, kind == Node::Kind::map ? "tag:yaml.org,2002:map" : "tag:yaml.org,2002:seq");
    if (stack_.size() >= defaults::workflow_depth) throw too_deep(at);
    if (!stack_.empty() && stack_.back().node.is_map() && !stack_.back().have_key) {
      throw Stop{at, "a list or map is no key", "write keys as plain text"};
    }
    stack_.push_back({});
    stack_.back().node.kind = kind;
    stack_.back().node.at = at;
    stack_.back().anchor = anchor;
  }

  void close() {
    Open done = std::move(stack_.back());
    stack_.pop_back();
    finish(std::move(done.node), done.anchor);
  }

  void finish(Node node, YAML::anchor_t anchor) {
    if (anchor != 0) {
      spend(weight(node), node.at);
      anchors_[anchor] = node;
    }
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Open& top = stack_.back();
    if (top.node.is_list()) {
      top.node.items.push_back(std::move(node));
    } else if (!top.have_key) {
      take_key(top, std::move(node));
    } else {
      top.have_key = false;
      if (top.merge) {
        merge(top, node);
      } else {
        add(top, Entry{std::move(top.key), top.key_at, std::move(node)});
      }
    }
  }

  static void take_key(Open& top, Node node) {
    if (node.kind == Node::Kind::null) {
      // `null: 1`, `~: 1` and `: 1`: which of them it was is gone by now.
      throw Stop{node.at, "the key is missing, or it is `null`, which means nothing to YAML",
                 "choose another name, or put it in quotes"};
    }
    if (!node.is_scalar()) throw Stop{node.at, "a list or map is no key", "write keys as plain text"};
    top.have_key = true;
    top.merge = node.text == "<<" && !node.quoted;
    top.key = std::move(node.text);
    top.key_at = node.at;
  }

  void add(Open& top, Entry entry) {
    const auto [known, fresh] = top.known.emplace(entry.key, top.node.entries.size());
    if (fresh) {
      top.node.entries.push_back(std::move(entry));
      return;
    }
    Entry& first = top.node.entries[known->second];
    if (entry.merged) return;
    if (first.merged) {
      first = std::move(entry);
      return;
    }
    diagnostics_.error(entry.key_at, path() + entry.key, "the key is given twice", "",
                       "it is on line " + std::to_string(first.key_at.line) + " already");
  }

  /// `<<: *base` or `<<: [*a, *b]`: what the map says itself, or an earlier base, wins.
  void merge(Open& top, Node& node) {
    if (node.is_list()) {
      for (Node& item : node.items) {
        if (item.is_list()) throw Stop{item.at, "<< takes a map, or a list of maps", ""};
        merge(top, item);
      }
      return;
    }
    if (!node.is_map()) throw Stop{top.key_at, "<< takes a map, or a list of maps", ""};
    for (Entry& entry : node.entries) {
      entry.merged = true;
      add(top, std::move(entry));
    }
  }

  /// "tasks.train." for what is open now.
  std::string path() const {
    std::string out;
    for (std::size_t i = 0; i + 1 < stack_.size(); ++i) {
      const Open& open = stack_[i];
      if (open.node.is_map()) {
        out += (out.empty() ? "" : ".") + open.key;
      } else {
        out += "[" + std::to_string(open.node.items.size()) + "]";
      }
    }
    return out.empty() ? out : out + ".";
  }

  std::string_view text_;
  const Lines& lines_;
  Diagnostics& diagnostics_;
  std::vector<Open> stack_;
  std::unordered_map<YAML::anchor_t, Node> anchors_;  ///< of finished nodes
  std::size_t alias_nodes_ = 0;
  std::optional<Node> root_;
};

/// What yaml-cpp's terse words mean to an author.
std::string explain(const std::string& message) {
  if (message == YAML::ErrorMsg::MAP_VALUE) return "a colon stands where no value can";
  if (message == YAML::ErrorMsg::END_OF_MAP) return "a key was expected here";
  if (message == YAML::ErrorMsg::END_OF_SEQ) return "an item was expected here";
  if (message == YAML::ErrorMsg::END_OF_MAP_FLOW) return "a \"}\" is missing";
  if (message == YAML::ErrorMsg::END_OF_SEQ_FLOW) return "a \"]\" is missing";
  if (message == YAML::ErrorMsg::UNKNOWN_ANCHOR) return "the alias names no anchor";
  return message;
}

std::string hint_for(std::string_view line, const std::string& message) {
  const std::size_t text = line.find_first_not_of(" \t");
  if (line.substr(0, text).find('\t') != std::string_view::npos) {
    return "the line is indented with a tab: use spaces";
  }
  if (message == YAML::ErrorMsg::MAP_VALUE) {
    return "check the indentation, and put texts that hold \": \" in quotes";
  }
  if (message == YAML::ErrorMsg::UNKNOWN_TOKEN) {
    return "put texts that start with @, ` or % in quotes";
  }
  return {};
}

}  // namespace

std::optional<Node> read_document(std::string_view text, Diagnostics& diagnostics) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  const Lines lines(text);
  try {
    check_text(text, lines);
    ViewBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    YamlBuilder builder(text, lines, diagnostics);
    while (parser.HandleNextDocument(builder)) {
    }
    std::optional<Node> root = builder.take_root();
    if (!root || root->kind == Node::Kind::null) throw Stop{{1, 1}, "the file is empty", ""};
    return root;
  } catch (const Stop& stop) {
    diagnostics.error(stop.at, "", stop.message, "", stop.hint);
  } catch (const YAML::Exception& problem) {
    const Position at = lines.position(problem.mark);
    diagnostics.error(at, "", "this is not YAML: " + explain(problem.msg), "",
                      hint_for(lines.line(at.line), problem.msg));
  }
  return std::nullopt;
}

std::string describe(const Node& node) {
  switch (node.kind) {
    case Node::Kind::null:
      return "nothing";
    case Node::Kind::list:
      return "a list";
    case Node::Kind::map:
      return "a map";
    case Node::Kind::scalar:
      break;
  }
  return in_quotes(node.text);
}

}  // namespace trireme::workflow
