#include "launch/spawner/protocol.hpp"

#include <cstring>
#include <type_traits>
#include <utility>

namespace trireme::spawner {
namespace {

// A frame's kind is its message's place in the variant; reports are counted from here.
constexpr std::uint16_t first_report = 64;

struct Header {
  std::uint32_t length;
  std::uint16_t version;
  std::uint16_t kind;
};
static_assert(sizeof(Header) == header_bytes);

template <typename T>
concept Scalar = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <typename T>
constexpr bool is_list = false;
template <typename T>
constexpr bool is_list<std::vector<T>> = true;

// The place of a type among the alternatives of a variant; their number if it is none of them.
template <typename T, typename Variant>
constexpr std::size_t index_in = 0;
template <typename T, typename... Alternatives>
constexpr std::size_t index_in<T, std::variant<Alternatives...>> = [] {
  std::size_t index = 0;
  static_cast<void>(((std::is_same_v<T, Alternatives> || (++index, false)) || ...));
  return index;
}();

template <typename Message>
constexpr std::uint16_t kind_of =
    index_in<Message, Request> < std::variant_size_v<Request> ? index_in<Message, Request>
                                                              : first_report + index_in<Message, Report>;

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <typename... T>
  void operator()(T&... values) {
    (put(values), ...);
  }

 private:
  template <typename T>
  void put(T& value) {
    if constexpr (Scalar<T>) {
      out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      put_count(value.size());
      out_.append(value);
    } else if constexpr (is_list<T>) {
      put_count(value.size());
      for (auto& element : value) put(element);
    } else {
      value.fields(*this);
    }
  }
  void put_count(std::size_t size) {
    const auto count = static_cast<std::uint32_t>(size);
    put(count);
  }

  std::string& out_;
};

class Reader {
 public:
  explicit Reader(std::string_view in) : in_(in) {}

  template <typename... T>
  void operator()(T&... values) {
    (get(values), ...);
  }
  /// Whether every field was there, and nothing else.
  bool complete() const { return ok_ && in_.empty(); }

 private:
  std::string_view take(std::size_t count) {
    if (count > in_.size()) ok_ = false;
    if (!ok_) return {};
    const auto taken = in_.substr(0, count);
    in_.remove_prefix(count);
    return taken;
  }
  template <typename T>
  void get(T& value) {
    if constexpr (std::is_same_v<T, bool>) {
      const auto byte = take(1);
      value = ok_ && byte[0] != 0;
    } else if constexpr (Scalar<T>) {
      const auto bytes = take(sizeof value);
      if (ok_) std::memcpy(&value, bytes.data(), sizeof value);
    } else if constexpr (std::is_same_v<T, std::string>) {
      value = take(get_count());
    } else if constexpr (is_list<T>) {
      const auto count = get_count();
      // Every element takes at least four bytes, so a count beyond that is a lie that must not allocate.
      if (count > in_.size() / 4) ok_ = false;
      if (!ok_) return;
      value.resize(count);
      for (auto& element : value) get(element);
    } else {
      value.fields(*this);
    }
  }
  std::uint32_t get_count() {
    std::uint32_t count = 0;
    get(count);
    return count;
  }

  std::string_view in_;
  bool ok_ = true;
};

template <typename Variant, std::size_t Index = 0>
std::optional<Variant> decode_variant(const FrameReader::Frame& frame, std::uint16_t first_kind) {
  if constexpr (Index == std::variant_size_v<Variant>) {
    return std::nullopt;
  } else {
    if (frame.kind != first_kind + Index) return decode_variant<Variant, Index + 1>(frame, first_kind);
    std::variant_alternative_t<Index, Variant> value;
    Reader reader(frame.body);
    value.fields(reader);
    if (!reader.complete()) return std::nullopt;
    return Variant(std::in_place_index<Index>, std::move(value));
  }
}

}  // namespace

template <typename Message>
bool encode(const Message& message, std::string& out) {
  const auto start = out.size();
  out.resize(start + header_bytes);
  Writer writer(out);
  // fields() serves both directions and is therefore not const; writing changes nothing.
  const_cast<Message&>(message).fields(writer);
  const auto length = out.size() - start - header_bytes;
  if (length > max_frame) {
    out.resize(start);
    return false;
  }
  const Header header{static_cast<std::uint32_t>(length), protocol_version, kind_of<Message>};
  std::memcpy(out.data() + start, &header, sizeof header);
  return true;
}
template bool encode(const Spawn&, std::string&);
template bool encode(const Signal&, std::string&);
template bool encode(const Stop&, std::string&);
template bool encode(const Lease&, std::string&);
template bool encode(const Shutdown&, std::string&);
template bool encode(const Started&, std::string&);
template bool encode(const Failed&, std::string&);
template bool encode(const Ended&, std::string&);

std::optional<Request> decode_request(const FrameReader::Frame& frame) {
  return decode_variant<Request>(frame, 0);
}
std::optional<Report> decode_report(const FrameReader::Frame& frame) {
  return decode_variant<Report>(frame, first_report);
}

void FrameReader::feed(std::string_view bytes) {
  buffer_.erase(0, start_);
  start_ = 0;
  buffer_.append(bytes);
}

bool FrameReader::ready() const {
  if (failed_ || buffered() < header_bytes) return false;
  Header header;
  std::memcpy(&header, buffer_.data() + start_, sizeof header);
  const bool broken = header.version != protocol_version || header.length > max_frame;
  return broken || buffered() >= header_bytes + header.length;
}

std::optional<FrameReader::Frame> FrameReader::next() {
  if (!ready()) return std::nullopt;
  Header header;
  std::memcpy(&header, buffer_.data() + start_, sizeof header);
  if (header.version != protocol_version || header.length > max_frame) {
    failed_ = true;
    return std::nullopt;
  }
  const Frame frame{header.kind, std::string_view(buffer_).substr(start_ + header_bytes, header.length)};
  start_ += header_bytes + header.length;
  return frame;
}

}  // namespace trireme::spawner
