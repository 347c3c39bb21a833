// Our HTTP codec held against Boost.Beast's parser.
//
// The promise is one-sided, because ours is the stricter: a message that we accept, Beast accepts too, with the same method,
// target, headers and body, and it ends at the same byte. Otherwise somebody behind us could read it differently.
#pragma once

#include <boost/beast/http.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/http/codec.hpp"

namespace trireme::proxy::http {

enum class Verdict { refused, incomplete, agreed, disagreed };

struct Opinion {
  Verdict verdict = Verdict::refused;
  std::string what;  ///< where they disagree
};

/// Reads one message of the kind that Beast's parser class is for.
template <bool request>
Opinion compare_with_beast(std::string_view in) {
  namespace beast = boost::beast;
  namespace bhttp = boost::beast::http;

  HeadParser parser;
  std::conditional_t<request, RequestHead, ResponseHead> head;
  HeadParser::State state;
  if constexpr (request) {
    state = parser.parse_request(in, head);
  } else {
    state = parser.parse_response(in, head);
  }
  if (state == HeadParser::State::error) return {Verdict::refused, {}};
  if (state == HeadParser::State::more) return {Verdict::incomplete, {}};

  Body body = head.body;
  if constexpr (!request) body = follows(head, "GET");
  BodyDecoder decoder(body);
  std::string data;
  std::size_t used = parser.consumed();
  while (!decoder.done() && !decoder.failed()) {
    const auto piece = decoder.next(in.substr(used));
    data.append(piece.data);
    used += piece.consumed;
    if (piece.consumed == 0) break;
  }
  if (decoder.failed()) return {Verdict::refused, {}};
  const bool complete = decoder.at_eof();
  if (!complete) return {Verdict::incomplete, {}};

  bhttp::parser<request, bhttp::string_body> theirs;
  theirs.eager(true);
  theirs.header_limit(1u << 20);
  theirs.body_limit(std::uint64_t{1} << 62);
  // An empty line before a request line is skipped by us alone.
  const std::size_t skipped = request && in.substr(0, 2) == crlf ? 2 : 0;
  beast::error_code error;
  std::size_t taken = skipped;
  while (!theirs.is_done() && taken < in.size()) {
    const std::size_t size = theirs.put(boost::asio::const_buffer(in.data() + taken, in.size() - taken), error);
    taken += size;
    if (error == bhttp::error::need_more && size > 0) error = {};
    if (error || size == 0) break;
  }
  if (!error && !theirs.is_done()) theirs.put_eof(error);
  auto disagree = [&](const std::string& what) {
    return Opinion{Verdict::disagreed, what + " in: " + std::string(in)};
  };
  // Where ours is the more lenient, on purpose: chunk extensions are skipped unread, and a status line may end with the
  // status.
  if (error == bhttp::error::bad_chunk_extension) return {Verdict::refused, {}};
  if (!request && error == bhttp::error::bad_status && in.substr(12, 2) == crlf) {
    return {Verdict::refused, {}};
  }
  // Trailers, which Beast understands as headers, are dropped.
  const bool in_trailers = body.kind == Body::Kind::chunked && theirs.get().body() == data;
  if (error && in_trailers) return {Verdict::refused, {}};
  if (error || !theirs.is_done()) return disagree("Beast refuses (" + error.message() + ")");
  if (taken != used) return disagree("the message ends elsewhere");

  const auto& message = theirs.get();
  if (message.body() != data) return disagree("the bodies differ");
  if constexpr (request) {
    if (message.method_string() != head.method) return disagree("the methods differ");
    if (message.target() != head.target) return disagree("the targets differ");
    if ((message.version() == 10) != head.http10) return disagree("the versions differ");
  } else {
    if (static_cast<int>(message.result_int()) != head.status) return disagree("the statuses differ");
  }
  // Beast takes a Connection among the trailers into account, and knows that until_close ends the connection.
  const bool comparable = body.kind == Body::Kind::none || body.kind == Body::Kind::length;
  if (comparable && head.keep_alive && !theirs.keep_alive()) {
    return disagree("we keep the connection");
  }
  for (const Header header : head.headers) {
    bool found = false;
    const auto [begin, end] = message.equal_range(boost::beast::string_view(header.name.data(), header.name.size()));
    for (auto field = begin; field != end; ++field)
      found = found || std::string_view(field->value().data(), field->value().size()) == header.value;
    if (!found) return disagree("the header " + std::string(header.name) + " differs");
  }
  return {Verdict::agreed, {}};
}

}  // namespace trireme::proxy::http
