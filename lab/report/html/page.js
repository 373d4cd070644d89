(function () {
  var ladder = document.querySelector("svg.ladder"), panel = document.getElementById("detail");
  var arrows = Array.prototype.slice.call(ladder.querySelectorAll(".arrow"));
  var height = ladder.viewBox.baseVal.height;
  // Rows move up when a layer is off, so that what is left reads without gaps.
  var rows = Array.prototype.slice.call(ladder.querySelectorAll(".arrow, .silence"));
  var lanes = Array.prototype.slice.call(ladder.querySelectorAll(".lane"));
  function show() {
    var on = {}, up = 0, quiet = false;
    document.querySelectorAll(".bar input").forEach(function (i) { on[i.value] = i.checked; });
    rows.forEach(function (g) {
      var silent = g.classList.contains("silence");
      var hide = silent ? quiet : !Object.keys(on).some(function (l) { return on[l] && g.classList.contains(l); });
      g.classList.toggle("hidden", hide);
      if (hide) up += silent ? 30 : 26; else quiet = silent;
      g.setAttribute("transform", "translate(0," + -up + ")");
    });
    ladder.setAttribute("viewBox", "0 0 " + ladder.viewBox.baseVal.width + " " + (height - up));
    ladder.setAttribute("height", height - up);
    lanes.forEach(function (l) { l.setAttribute("y2", height - up); });
  }
  function open(g) {
    arrows.forEach(function (a) { a.classList.toggle("open", a === g); });
    panel.textContent = g.getAttribute("aria-label") + "\n\n" + (details[+g.dataset.row] || "nothing more was seen of it");
  }
  document.querySelectorAll(".bar input").forEach(function (i) { i.addEventListener("change", show); });
  arrows.forEach(function (g) {
    g.addEventListener("click", function () { open(g); });
    g.addEventListener("keydown", function (e) {
      if (e.key === "Enter" || e.key === " ") { e.preventDefault(); open(g); }
      if (e.key === "Escape") { panel.textContent = ""; g.classList.remove("open"); }
    });
  });
  show();
  // fedlab watch serves the page and says when it has been made anew.
  if (location.protocol.indexOf("http") === 0) new EventSource("changes").onmessage = function () { location.reload(); };
})();
