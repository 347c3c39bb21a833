#include "proxy/native/upstream.hpp"

#include <algorithm>
#include <utility>

#include "core/defaults.hpp"
#include "proxy/native/link.hpp"

namespace trireme::proxy::native {

namespace {

/// A request with the proxy's own head, in frames.
class NativeCall final : public Call, public LinkCall {
 public:
  NativeCall(std::shared_ptr<Link> link, CallObserver& observer) : link_(std::move(link)), observer_(observer) {}
  ~NativeCall() override {
    if (id_ != 0) link_->forget(id_, !over_);
  }

  void begin(const http::RequestHead& head, std::string_view first, bool complete) {
    id_ = link_->begin(*this);
    if (link_->broken()) return;
    head_only_ = head.method == "HEAD";
    http::RequestHead told = head;
    if (complete) told.body = {http::Body::Kind::length, first.size()};
    // A beginning that does not fit beside the head follows it.
    const bool together = first.size() <= max_payload / 2;
    const std::string_view beside = together ? first : std::string_view();
    if (!append_request(link_->out(*this), id_, told, beside, complete && together)) {
      link_->refuse(id_);
    } else if (!together) {
      append_data(link_->out(*this), id_, first, complete);
    }
    credit_ -= std::min(credit_, first.size());
  }

  std::size_t window() const override { return link_->takes_bodies() ? credit_ : 0; }
  void send(std::string_view data) override {
    credit_ -= std::min(credit_, data.size());
    link_->send_data(*this, id_, data, false);
  }
  void send_end() override {
    if (!link_->broken()) append_data(link_->out(*this), id_, {}, true);
  }
  void consumed(std::size_t bytes) override {
    held_ -= std::min(held_, bytes);
    untold_ += bytes;
    if (over_ || link_->broken() || untold_ < defaults::stream_window / 2) return;
    append_window(link_->out(*this), id_, std::exchange(untold_, 0));
  }

 private:
  bool on_frame(const Frame& frame) override;
  void on_room() override { observer_.on_window(); }
  void on_failed(CallError error) override {
    over_ = true;
    observer_.on_error(std::move(error));
  }

  std::shared_ptr<Link> link_;
  CallObserver& observer_;
  std::uint64_t id_ = 0;
  std::size_t credit_ = defaults::stream_window;
  std::size_t held_ = 0;    ///< of the answer, given to the observer and not consumed
  std::size_t untold_ = 0;  ///< consumed, and the replica has not been told
  bool head_only_ = false;
  bool head_seen_ = false;
  bool over_ = false;
};

/// The observer may destroy the call from inside its callbacks, so after each the link is asked whether it is still there.
bool NativeCall::on_frame(const Frame& frame) {
  const std::shared_ptr<Link> link = link_;
  std::string_view body = frame.payload;
  switch (frame.type) {
    case Type::window: {
      const auto bytes = read_window(frame.payload);
      if (!bytes) return false;
      credit_ += *bytes;
      observer_.on_window();
      return true;
    }
    case Type::failure: {
      const auto failure = read_failure(frame.payload);
      if (!failure) return false;
      link->forget(frame.id, false);
      on_failed(
          {CallError::Kind::lost, link->name() + " broke off: " + std::string(failure->words), CallError::Blame::some});
      return true;
    }
    case Type::response: {
      auto response = read_response(frame.payload);
      if (!response || head_seen_) return false;
      head_seen_ = true;
      body = response->body;
      if (head_only_) {
        body = {};
      } else if (frame.end) {
        const bool bodiless = response->head.status == 204 || response->head.status == 304;
        const http::Body said = response->head.body;
        if (!bodiless && said.kind == http::Body::Kind::length && said.length != body.size()) {
          link->forget(frame.id, false);
          on_failed({CallError::Kind::lost, link->name() + " broke off: its answer is not as long as it said",
                     CallError::Blame::some});
          return true;
        }
        response->head.body = {http::Body::Kind::length, body.size()};
      }
      observer_.on_head(std::move(response->head));
      break;
    }
    case Type::data:
      if (!head_seen_) return false;
      break;
    default:
      return false;
  }
  if (!body.empty() && link->knows(frame.id)) {
    if (held_ + untold_ + body.size() > defaults::stream_window) return false;
    held_ += body.size();
    observer_.on_body(body);
  }
  if (frame.end && link->knows(frame.id)) {
    link->forget(frame.id, false);
    over_ = true;
    observer_.on_end();
  }
  return true;
}

}  // namespace

NativeUpstream::NativeUpstream(http::Loop& loop, http::LocalAddress address, std::string key, std::string name)
    : loop_(loop), address_(std::move(address)), key_(std::move(key)), name_(std::move(name)) {}
NativeUpstream::~NativeUpstream() = default;

const std::shared_ptr<Link>& NativeUpstream::link() {
  if (!link_ || link_->broken()) {
    // Its last owner may let it go from inside its own callbacks, so it is buried.
    link_ = std::shared_ptr<Link>(new Link(loop_, name_),
                                  [&loop = loop_](Link* link) { loop.bury(std::unique_ptr<http::Resident>(link)); });
    link_->connect(address_.path, key_);
  }
  return link_;
}

std::unique_ptr<Call> NativeUpstream::open(const http::RequestHead& head, std::string_view first, bool complete,
                                           CallObserver& observer) {
  auto call = std::make_unique<NativeCall>(link(), observer);
  call->begin(head, first, complete);
  return call;
}

}  // namespace trireme::proxy::native
