(function () {
  var search = document.getElementById("search"), code = document.getElementById("code"), result = document.getElementById("result"), count = document.getElementById("count");
  function filter() {
    var words = search.value.toLowerCase().split(/\s+/), shown = 0;
    document.querySelectorAll(".run").forEach(function (r) {
      var ok = words.every(function (w) { return r.dataset.text.indexOf(w) >= 0; }) &&
        (!code.value || r.dataset.codes.split(" ").indexOf(code.value) >= 0) && (!result.value || r.dataset.result === result.value);
      r.hidden = !ok;
      if (ok) shown++;
    });
    document.querySelectorAll("section").forEach(function (s) { s.hidden = !s.querySelector(".run:not([hidden])"); });
    count.textContent = shown + " shown";
  }
  [search, code, result].forEach(function (e) { e.addEventListener("input", filter); });
  filter();
})();
