#include "proxy/dashboard/viewers.hpp"

#include <utility>
#include <vector>

#include "core/defaults.hpp"
#include "core/units.hpp"

namespace trireme::proxy::dashboard {

namespace {

std::string event_text(const char* name, const std::string& data) {
  return std::string("event: ") + name + "\ndata: " + data + "\n\n";
}

}  // namespace

/// A Resident only so that it can be buried: it may end inside its own callbacks.
class Viewers::Viewer final : public http::Resident, public http::ExchangeObserver {
 public:
  Viewer(http::Loop& loop, Viewers& owner, std::unique_ptr<http::Exchange> exchange)
      : Resident(loop), owner_(owner), exchange_(std::move(exchange)) {}
  ~Viewer() override { exchange_->observe(nullptr); }

  void start(http::Headers headers) {
    exchange_->observe(this);
    http::ResponseHead head;
    head.headers = std::move(headers);
    head.headers.push_back({"Content-Type", "text/event-stream"});
    head.body = {http::Body::Kind::chunked, 0};
    exchange_->respond_head(std::move(head));
    // How soon the browser tries again when the connection is lost; it makes the head leave too.
    give("retry: 2000\n\n");
  }

  /// False: it has not taken what it was given for too long.
  bool show(const News& news, MonoTime now) {
    const bool behind = unwritten_ > 0;
    if (behind && !news.over) return now - taken_at_ < owner_.stall_.count();
    if (!has_history_ && news.history.empty()) return true;
    taken_at_ = now;
    std::string text = event_text("snapshot", news.snapshot);
    if (!std::exchange(has_history_, true)) text.insert(0, event_text("history", news.history));
    give(text);
    return true;
  }
  void end() {
    exchange_->observe(nullptr);
    exchange_->respond_end();
  }

 private:
  void give(const std::string& text) {
    unwritten_ += text.size();
    unwritten_ -= exchange_->respond_body(text);
  }

  void on_body() override {}
  void on_written(std::size_t bytes) override {
    unwritten_ -= bytes;
    taken_at_ = mono_now();
  }
  void on_gone() override { owner_.forget(*this); }

  Viewers& owner_;
  std::unique_ptr<http::Exchange> exchange_;
  bool has_history_ = false;
  std::size_t unwritten_ = 0;       ///< bytes that its browser has not taken
  MonoTime taken_at_ = mono_now();  ///< when it took some last
};

Viewers::Viewers(http::Loop& loop, std::function<void(std::size_t, bool)> changed, Duration stall)
    : loop_(loop), changed_(std::move(changed)), stall_(stall) {}

Viewers::~Viewers() {
  clear();
}

bool Viewers::full() const {
  return viewers_.size() >= defaults::dashboard_viewers;
}

void Viewers::add(std::unique_ptr<http::Exchange> exchange, http::Headers headers) {
  auto made = std::make_unique<Viewer>(loop_, *this, std::move(exchange));
  Viewer& viewer = *made;
  viewers_.emplace(&viewer, std::move(made));
  viewer.start(std::move(headers));
  changed_(viewers_.size(), true);
}

void Viewers::show(const News& news) {
  const MonoTime now = mono_now();
  std::vector<Viewer*> stalled;
  for (auto& [viewer, owned] : viewers_) {
    if (!viewer->show(news, now)) stalled.push_back(viewer);
  }
  for (Viewer* viewer : stalled) forget(*viewer);
  if (!news.over) return;
  for (auto& [viewer, owned] : viewers_) viewer->end();
  for (auto& [viewer, owned] : viewers_) loop_.bury(std::move(owned));
  viewers_.clear();
}

void Viewers::clear() {
  viewers_.clear();
}

void Viewers::forget(Viewer& viewer) {
  const auto found = viewers_.find(&viewer);
  if (found == viewers_.end()) return;
  loop_.bury(std::move(found->second));
  viewers_.erase(found);
  changed_(viewers_.size(), false);
}

}  // namespace trireme::proxy::dashboard
