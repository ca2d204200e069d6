// The script of a report's page. It runs in the browser, after Vega's, and reads the report from the element
// #report: charts as compiled Vega specifications with their data beside them, tables as columns.
(() => {
  const report = JSON.parse(document.getElementById('report').textContent);
  const vega = window.vega;
  const charts = new Map();
  const $ = (selector, root = document) => root.querySelector(selector);
  const create = (tag, attributes = {}, text = undefined) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      element.setAttribute(name, value);
    }
    if (text !== undefined) {
      element.textContent = text;
    }
    return element;
  };
  const theme = () => {
    const chosen = document.documentElement.dataset.theme;
    if (chosen) {
      return chosen;
    }
    return matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light';
  };
  const number = (value) => {
    if (value === null || value === undefined) {
      return '';
    }
    if (typeof value !== 'number') {
      return String(value);
    }
    if (Number.isInteger(value)) {
      return String(value);
    }
    return Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5 ? value.toPrecision(4) : value.toExponential(2);
  };

  /** Columns ({ name: values }) to rows, as Vega takes them. */
  function toRows(columns) {
    const names = Object.keys(columns);
    const length = names.length ? columns[names[0]].length : 0;
    return Array.from({ length }, (_, row) => Object.fromEntries(names.map((name) => [name, columns[name][row]])));
  }

  /** Values were stored as the square root's 16 bits: fine for small values, exact to 1 part in 30,000 of the largest. */
  function decode(image) {
    if (image.decoded) {
      return image.decoded;
    }
    const bytes = Uint8Array.from(atob(image.values), (character) => character.charCodeAt(0));
    const steps = new Uint16Array(bytes.buffer);
    image.decoded = Float32Array.from(steps, (step) => image.maximum * (step / 65535) ** 2);
    return image.decoded;
  }

  function colour(image) {
    const values = decode(image);
    const colours = report.imageColours[theme()];
    const canvas = create('canvas', { width: image.columns, height: image.rows });
    const context = canvas.getContext('2d');
    const picture = context.createImageData(image.columns, image.rows);
    for (let cell = 0; cell < values.length; cell++) {
      const fraction = Math.min(1, Math.max(0, values[cell] / image.limit)) ** image.power;
      const step = Math.round(fraction * (colours.length / 3 - 1)) * 3;
      picture.data.set([colours[step], colours[step + 1], colours[step + 2], 255], cell * 4);
    }
    context.putImageData(picture, 0, 0);
    return canvas.toDataURL('image/png');
  }

  // ------------------------------------------------------------------ tooltip
  const tip = create('div', { class: 'tip', role: 'tooltip', hidden: '' });
  document.body.append(tip);
  function showTip(event, fields) {
    if (!fields) {
      tip.hidden = true;
      return;
    }
    tip.replaceChildren();
    const list = create('dl');
    for (const [name, value] of Object.entries(fields)) {
      list.append(create('dt', {}, name), create('dd', {}, typeof value === 'number' ? number(value) : String(value)));
    }
    tip.append(list);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = event.clientX + 14 + box.width > innerWidth ? event.clientX - 14 - box.width : event.clientX + 14;
    const top = event.clientY + 14 + box.height > innerHeight ? event.clientY - 14 - box.height : event.clientY + 14;
    tip.style.left = `${Math.max(4, left)}px`;
    tip.style.top = `${Math.max(4, top)}px`;
  }

  // ------------------------------------------------------------------ charts
  /** One chart in its figure: draws, redraws in another theme, zooms, walks over cells, saves itself. */
  class ChartView {
    constructor(figure) {
      this.figure = figure;
      this.name = figure.dataset.chart;
      this.chart = report.charts[this.name];
      this.host = $('.plot', figure);
      this.readout = $('.readout', figure);
      this.cursor = null;
      this.listeners = [];
      this.rows = Object.fromEntries(Object.entries(this.chart.data).map(([name, columns]) => [name, toRows(columns)]));
      this.images = this.chart.images ?? [];
      this.signals = {};
      for (const button of figure.querySelectorAll('[data-action]')) {
        button.addEventListener('click', () => this.act(button.dataset.action));
      }
      this.host.addEventListener('keydown', (event) => this.key(event));
      this.host.addEventListener('mousemove', (event) => this.hoverMatrix(event));
      this.host.addEventListener('mouseleave', () => showTip(null, null));
      this.host.addEventListener('click', (event) => {
        const at = this.cells === 'matrix' && this.cellAt(event);
        if (at) {
          this.moveTo(at.column, at.row);
        }
      });
    }

    get cells() {
      return this.chart.interaction?.cells;
    }

    async draw() {
      const zoom = this.view ? this.zoomState() : {};
      this.view?.finalize();
      this.host.replaceChildren();
      const view = new vega.View(vega.parse(this.chart.spec[theme()]), {
        renderer: 'canvas',
        container: this.host,
        hover: true,
        tooltip: (_, event, __, value) => {
          if (value && typeof value === 'object') {
            showTip(event, value);
          } else if (this.cells !== 'matrix') {
            showTip(event, null);
          }
        },
      });
      this.view = view;
      const named = new Set((this.chart.spec[theme()].data ?? []).map(({ name }) => name));
      for (const [name, rows] of Object.entries(this.rows)) {
        if (named.has(name)) {
          view.data(
            name,
            rows.map((row) => ({ ...row })),
          );
        }
      }
      if (named.has('images')) {
        view.data('images', this.imageRows());
      }
      for (const [name, value] of Object.entries({ ...this.signals, ...zoom })) {
        view.signal(name, value);
      }
      for (const { type, listener } of this.listeners) {
        view.addEventListener(type, listener);
      }
      await view.runAsync();
      // Vega's own canvas takes no focus: the figure does, with the keys described in its label.
      $('canvas', this.host)?.setAttribute('aria-hidden', 'true');
      for (const name of this.zoomSignals()) {
        view.addSignalListener(name, () => this.clamp(name));
      }
      this.showCursor();
    }

    imageRows() {
      return this.images.map(({ fields, matrix }) => ({ ...fields, url: colour(matrix) }));
    }

    on(type, listener) {
      this.listeners.push({ type, listener });
      this.view?.addEventListener(type, listener);
    }

    zoomSignals() {
      return this.chart.interaction?.zoom ?? [];
    }

    zoomState() {
      return Object.fromEntries(this.zoomSignals().map((name) => [name, this.view.signal(name)]));
    }

    scaleOf(signal) {
      return ['zoom_top', 'zoom_y'].includes(signal) ? 'y' : 'x';
    }

    extent() {
      return this.chart.interaction.extent;
    }

    clamp(signal) {
      const domain = this.view.signal(signal);
      if (!domain) {
        return;
      }
      const [low, high] = this.extent();
      const span = Math.min(high - low, domain[1] - domain[0]);
      const from = Math.min(Math.max(domain[0], low), high - span);
      if (Math.abs(from - domain[0]) + Math.abs(from + span - domain[1]) > 1e-9) {
        this.view.signal(signal, [from, from + span]).runAsync();
      }
    }

    zoom(factor, shift = 0) {
      const [low, high] = this.extent();
      for (const signal of this.zoomSignals()) {
        if (factor === 0) {
          this.view.signal(signal, null);
          continue;
        }
        const domain = this.view.scale(this.scaleOf(signal)).domain();
        const from = Math.min(...domain);
        const to = Math.max(...domain);
        const span = Math.min(high - low, Math.max(5, (to - from) * factor));
        const middle = this.middle(signal, from, to) + shift * span;
        const start = Math.min(Math.max(middle - span / 2, low), high - span);
        this.view.signal(signal, [start, start + span]);
      }
      return this.view.runAsync();
    }

    /** Zooming keeps the selected cell in sight. */
    middle(signal, from, to) {
      if (this.cursor) {
        const at = this.scaleOf(signal) === 'x' ? this.cursor.column : this.cursor.row;
        if (this.cells === 'matrix' || this.scaleOf(signal) === 'x') {
          if (at >= from && at <= to) {
            return at;
          }
        }
      }
      return (from + to) / 2;
    }

    act(action) {
      if (action === 'in') {
        return this.zoom(0.5);
      }
      if (action === 'out') {
        return this.zoom(2);
      }
      if (action === 'reset') {
        return this.zoom(0);
      }
      if (action === 'svg') {
        return this.save('svg');
      }
      if (action === 'png') {
        return this.save('png');
      }
      return undefined;
    }

    async save(type) {
      const url = await this.view.toImageURL(type, type === 'png' ? 2 : 1);
      create('a', { href: url, download: `${this.name}.${type}` }).click();
    }

    key(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      const stride = event.shiftKey ? 10 : 1;
      if (event.key === '+' || event.key === '=') {
        this.zoom(0.5);
      } else if (event.key === '-') {
        this.zoom(2);
      } else if (event.key === '0') {
        this.zoom(0);
      } else if (event.key === 'Escape') {
        this.moveTo(null);
      } else if (event.key in steps && this.cells) {
        this.step(steps[event.key][0] * stride, steps[event.key][1] * stride);
      } else if (event.key === 'Enter' && this.cursor) {
        this.onSelect?.(this.cursor);
      } else {
        return;
      }
      event.preventDefault();
    }

    step(columns, rows) {
      const [low, high] = this.extent();
      const first = Math.ceil(low);
      const last = Math.floor(high);
      const lowRow = this.cells === 'matrix' ? first : 0;
      const highRow = this.cells === 'matrix' ? last : report.residueOrder.length - 1;
      if (!this.cursor) {
        const domain = this.view.scale('x').domain();
        this.moveTo(Math.max(first, Math.ceil(domain[0])), lowRow);
        return;
      }
      this.moveTo(
        Math.min(last, Math.max(first, this.cursor.column + columns)),
        Math.min(highRow, Math.max(lowRow, this.cursor.row + rows)),
      );
    }

    /** Selects a cell: column and row as the axes count them; null for none. */
    moveTo(column, row) {
      this.cursor = column === null ? null : { column, row };
      if (this.cursor) {
        this.bringIntoSight();
      }
      this.showCursor();
    }

    bringIntoSight() {
      for (const signal of this.zoomSignals()) {
        const scale = this.scaleOf(signal);
        if (scale === 'y' && this.cells !== 'matrix') {
          continue;
        }
        const at = scale === 'x' ? this.cursor.column : this.cursor.row;
        const domain = this.view.scale(scale).domain();
        const from = Math.min(...domain);
        const to = Math.max(...domain);
        if (at - 0.5 < from || at + 0.5 > to) {
          const [low, high] = this.extent();
          const start = Math.min(Math.max(at - (to - from) / 2, low), high - (to - from));
          this.view.signal(signal, [start, start + (to - from)]);
        }
      }
    }

    showCursor() {
      if (!this.cells) {
        return;
      }
      const { cursor } = this;
      if (!cursor) {
        this.view.data('selected', []).runAsync();
        this.readout.textContent = '';
        return;
      }
      const { column, row } = cursor;
      if (this.cells === 'matrix') {
        this.view.data('selected', [{ left: column - 0.5, right: column + 0.5, top: row - 0.5, bottom: row + 0.5 }]);
        const fields = this.matrixFields(column, row);
        this.readout.textContent = Object.entries(fields)
          .map(([name, value]) => `${name} ${typeof value === 'number' ? number(value) : value}`)
          .join(', ');
      } else {
        const residue = report.residueOrder[row];
        this.view.data('selected', [{ start: column - 0.5, end: column + 0.5, residue, position: column }]);
        this.readout.textContent = this.describe?.(column, residue) ?? '';
      }
      this.view.runAsync();
    }

    matrixFields(column, row) {
      const { matrix } = this.images[0];
      const { sequence, ...labels } = this.chart.interaction.labels;
      const factor = Math.ceil(sequence.length / matrix.columns);
      const values = decode(matrix);
      const at = Math.floor((row - 1) / factor) * matrix.columns + Math.floor((column - 1) / factor);
      return {
        [labels.row]: `${sequence[row - 1]}${row}`,
        [labels.column]: `${sequence[column - 1]}${column}`,
        [labels.value + (factor > 1 ? ` (mean of ${factor} × ${factor})` : '')]: values[at],
      };
    }

    /** Where the plot's upper left corner lies on the canvas. */
    origin() {
      const [left, top] = this.view.origin();
      const padding = this.view.padding();
      return [left + padding.left, top + padding.top];
    }

    cellAt(event) {
      const canvas = $('canvas', this.host);
      if (!canvas) {
        return null;
      }
      const [originX, originY] = this.origin();
      const point = vega.point(event, canvas);
      const x = point[0] - originX;
      const y = point[1] - originY;
      if (x < 0 || y < 0 || x >= this.view.width() || y >= this.view.height()) {
        return null;
      }
      const column = Math.round(this.view.scale('x').invert(x));
      const row = Math.round(this.view.scale('y').invert(y));
      const [low, high] = this.extent();
      return column > low && column < high && row > low && row < high ? { column, row } : null;
    }

    hoverMatrix(event) {
      if (this.cells !== 'matrix') {
        return;
      }
      const at = event.buttons === 0 && this.cellAt(event);
      showTip(event, at ? this.matrixFields(at.column, at.row) : null);
    }
  }

  // ------------------------------------------------------------------ tables
  const ROW = 28;
  // The style sheet's largest height of a table: the scroller has none of its own until it has rows.
  const HEIGHT = 420;

  /**
   * A table of any length: only the rows in sight are in the document. Headings sort, the box filters: words must
   * occur in a row, and `column<number`, `>`, `<=`, `>=`, `=` compare.
   */
  class TableView {
    constructor(root) {
      this.root = root;
      this.table = report.tables[root.dataset.table];
      this.names = this.table.columns.map(({ name }) => name);
      this.length = this.table.columns[0]?.values.length ?? 0;
      this.order = Array.from({ length: this.length }, (_, row) => row);
      this.sort = { column: -1, down: false };
      this.selected = -1;
      this.filterBox = $('.filter', root);
      this.count = $('.count', root);
      this.scroller = $('.scroller', root);
      this.body = $('tbody', root);
      const head = $('thead tr', root);
      this.table.columns.forEach((column, index) => {
        const cell = create('th', { scope: 'col', 'aria-sort': 'none', class: column.numeric ? 'numeric' : '' });
        const button = create('button', { type: 'button' }, column.title ?? column.name);
        button.addEventListener('click', () => this.sortBy(index));
        cell.append(button);
        head.append(cell);
      });
      this.heads = [...head.children];
      this.filterBox.addEventListener('input', () => this.update());
      this.scroller.addEventListener('scroll', () => this.paint());
      this.scroller.addEventListener('keydown', (event) => this.key(event));
      this.body.addEventListener('click', (event) => {
        const row = event.target.closest('tr[data-row]');
        if (row) {
          this.select(Number(row.dataset.row), true);
        }
      });
      $('.save-csv', root).addEventListener('click', () => this.saveCsv());
      if (this.table.sort) {
        this.sort = { column: this.names.indexOf(this.table.sort.column), down: this.table.sort.descending };
      }
      this.update();
    }

    sortBy(column) {
      const down = this.sort.column === column ? !this.sort.down : false;
      this.sort = { column, down };
      this.update();
    }

    /** The test that the filter's text stands for. */
    test() {
      const terms = this.filterBox.value.trim().split(/\s+/).filter(Boolean);
      const tests = terms.map((term) => {
        const compare = /^([^<>=]+)(<=|>=|<|>|=)(.+)$/.exec(term);
        const column = compare
          ? this.table.columns.find(({ name, title }) =>
              [name, title].some((label) => label?.toLowerCase().replaceAll(' ', '') === compare[1].toLowerCase()),
            )
          : undefined;
        if (column) {
          const [, , operator, right] = compare;
          const limit = Number(right);
          return (row) => {
            const value = column.values[row];
            if (value === null) {
              return false;
            }
            if (operator === '=') {
              return Number.isNaN(limit)
                ? String(value).toLowerCase() === right.toLowerCase()
                : Number(value) === limit;
            }
            if (operator === '<') {
              return value < limit;
            }
            if (operator === '>') {
              return value > limit;
            }
            return operator === '<=' ? value <= limit : value >= limit;
          };
        }
        const word = term.toLowerCase();
        return (row) =>
          this.table.columns.some(
            ({ values, numeric }) => !numeric && String(values[row]).toLowerCase().includes(word),
          );
      });
      return (row) => tests.every((one) => one(row));
    }

    update() {
      const keep = this.test();
      this.order = [];
      for (let row = 0; row < this.length; row++) {
        if (keep(row)) {
          this.order.push(row);
        }
      }
      const { column, down } = this.sort;
      if (column >= 0) {
        const { values } = this.table.columns[column];
        const sign = down ? -1 : 1;
        this.order.sort((a, b) => {
          const left = values[a];
          const right = values[b];
          if (left === right) {
            return a - b;
          }
          // What has no value goes last, whichever way.
          if (left === null) {
            return 1;
          }
          if (right === null) {
            return -1;
          }
          return left < right ? -sign : sign;
        });
      }
      this.heads.forEach((head, index) => {
        head.setAttribute('aria-sort', index === column ? (down ? 'descending' : 'ascending') : 'none');
      });
      const total = this.length.toLocaleString('en');
      this.count.textContent =
        this.order.length === this.length
          ? `${total} rows`
          : `${this.order.length.toLocaleString('en')} of ${total} rows`;
      $('table', this.root).setAttribute('aria-rowcount', this.order.length + 1);
      this.scroller.scrollTop = 0;
      this.paint();
      this.onFilter?.(this.order);
    }

    paint() {
      const first = Math.max(0, Math.floor(this.scroller.scrollTop / ROW) - 5);
      const last = Math.min(this.order.length, first + Math.ceil(HEIGHT / ROW) + 10);
      const space = (height) => {
        const row = create('tr', { class: 'space', 'aria-hidden': 'true' });
        const cell = create('td', { colspan: this.names.length });
        cell.style.height = `${height}px`;
        row.append(cell);
        return row;
      };
      const rows = [space(first * ROW)];
      for (let at = first; at < last; at++) {
        const row = this.order[at];
        const line = create('tr', { 'data-row': row, 'aria-rowindex': at + 2 });
        if (row === this.selected) {
          line.setAttribute('aria-selected', 'true');
        }
        for (const { values, numeric } of this.table.columns) {
          line.append(create('td', numeric ? { class: 'numeric' } : {}, number(values[row])));
        }
        rows.push(line);
      }
      rows.push(space((this.order.length - last) * ROW));
      this.body.replaceChildren(...rows);
    }

    select(row, tell) {
      this.selected = row;
      const at = this.order.indexOf(row);
      const head = $('thead', this.root).offsetHeight;
      if (at >= 0) {
        const top = at * ROW;
        const room = this.scroller.clientHeight - head;
        if (top < this.scroller.scrollTop || top + ROW > this.scroller.scrollTop + room) {
          this.scroller.scrollTop = Math.max(0, top - room / 2);
        }
      }
      this.paint();
      if (tell) {
        this.onSelect?.(row);
      }
    }

    key(event) {
      if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') {
        return;
      }
      const at = this.order.indexOf(this.selected) + (event.key === 'ArrowDown' ? 1 : -1);
      if (at >= 0 && at < this.order.length) {
        this.select(this.order[at], true);
      }
      event.preventDefault();
    }

    saveCsv() {
      const quote = (value) => (/[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
      const lines = [this.names.map(quote).join(',')];
      for (const row of this.order) {
        lines.push(this.table.columns.map(({ values }) => quote(String(values[row] ?? ''))).join(','));
      }
      const url = URL.createObjectURL(new Blob([`${lines.join('\n')}\n`], { type: 'text/csv' }));
      create('a', { href: url, download: `${this.root.dataset.table}.csv` }).click();
      setTimeout(() => URL.revokeObjectURL(url), 1000);
    }
  }

  // ------------------------------------------------------------------ what belongs together
  /** A landscape and its table: choosing a variant in one shows it in the other; the filter also filters the map. */
  function linkLandscape(chart, table) {
    const column = (name) => table.table.columns.find((one) => one.name === name).values;
    const mutants = column('mutant');
    const positions = column('position');
    const wildTypes = column('wildType');
    const rowOf = new Map(mutants.map((mutant, row) => [`${positions[row]}${mutant}`, row]));
    const all = chart.rows.cells;
    chart.describe = (position, residue) => {
      const row = rowOf.get(`${position}${residue}`);
      if (row === undefined) {
        const site = chart.rows.sites.find((one) => one.position === position);
        return site?.residue === residue ? `${residue}${position}: wild type` : `${position}${residue}: not scored`;
      }
      const scores = table.table.columns
        .filter(({ name, numeric }) => numeric && name !== 'position')
        .map(({ name, title, values }) => `${title ?? name} ${number(values[row])}`);
      return `${wildTypes[row]}${position}${residue}: ${scores.join(', ')}`;
    };
    const choose = (position, residue) => {
      chart.moveTo(position, report.residueOrder.indexOf(residue));
      const row = rowOf.get(`${position}${residue}`);
      if (row !== undefined) {
        table.select(row, false);
      }
    };
    chart.on('click', (_, item) => {
      if (item?.datum?.variant) {
        choose(item.datum.position, item.datum.residue);
      }
    });
    chart.onSelect = ({ column: position, row }) => choose(position, report.residueOrder[row]);
    table.onSelect = (row) => chart.moveTo(positions[row], report.residueOrder.indexOf(mutants[row]));
    table.onFilter = (order) => {
      const keep = new Set(order.map((row) => `${positions[row]}${mutants[row]}`));
      chart.rows.cells =
        keep.size === rowOf.size ? all : all.filter((cell) => keep.has(`${cell.position}${cell.residue}`));
      if (chart.view) {
        chart.view
          .data(
            'cells',
            chart.rows.cells.map((row) => ({ ...row })),
          )
          .runAsync();
      }
    };
  }

  /** The overview of all maps and the one shown large. */
  function linkAttention(section) {
    const large = charts.get(section.dataset.map);
    const overview = section.dataset.overview ? charts.get(section.dataset.overview) : undefined;
    const maps = report.attention[section.dataset.map];
    const select = $('select', section);
    const show = (index) => {
      select.value = String(index);
      const map = maps[index];
      large.images = [{ fields: large.images[0].fields, matrix: map.matrix }];
      large.signals.limit = map.matrix.limit;
      large.view.signal('limit', map.matrix.limit);
      large.view.data('images', large.imageRows());
      large.showCursor();
      return large.view.runAsync();
    };
    maps.forEach(({ label }, index) => {
      select.append(create('option', { value: index }, label));
    });
    select.addEventListener('change', () => show(Number(select.value)));
    overview?.on('click', (_, item) => {
      const { layer, head } = item?.datum ?? {};
      const index = maps.findIndex((map) => map.layer === layer && map.head === head);
      if (index >= 0) {
        show(index);
      }
    });
  }

  /** The numbers of a chart as a plain table, for those who cannot see or point at it. */
  function showData(details) {
    details.addEventListener('toggle', () => {
      if (!details.open || $('table', details)) {
        return;
      }
      const chart = report.charts[details.dataset.data];
      for (const columns of Object.values(chart.data)) {
        const names = Object.keys(columns);
        if (!names.length || !columns[names[0]].length) {
          continue;
        }
        const table = create('table');
        const head = create('tr');
        for (const name of names) {
          head.append(create('th', { scope: 'col' }, name));
        }
        table.append(head);
        const most = 2000;
        for (const row of toRows(columns).slice(0, most)) {
          const line = create('tr');
          for (const name of names) {
            line.append(create('td', {}, number(row[name])));
          }
          table.append(line);
        }
        details.append(table);
        if (columns[names[0]].length > most) {
          details.append(create('p', {}, `The first ${most} rows.`));
        }
      }
    });
  }

  async function redraw() {
    for (const chart of charts.values()) {
      await chart.draw();
    }
  }

  async function start() {
    const button = $('#theme');
    const label = () => {
      button.textContent = theme() === 'dark' ? 'Light colours' : 'Dark colours';
    };
    button.addEventListener('click', () => {
      document.documentElement.dataset.theme = theme() === 'dark' ? 'light' : 'dark';
      label();
      redraw();
    });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
      label();
      redraw();
    });
    label();
    for (const figure of document.querySelectorAll('figure[data-chart]')) {
      const chart = new ChartView(figure);
      charts.set(chart.name, chart);
    }
    const tables = new Map();
    for (const root of document.querySelectorAll('.table[data-table]')) {
      tables.set(root.dataset.table, new TableView(root));
    }
    for (const section of document.querySelectorAll('section[data-landscape]')) {
      linkLandscape(charts.get(section.dataset.landscape), tables.get(section.dataset.linked));
    }
    for (const details of document.querySelectorAll('details[data-data]')) {
      showData(details);
    }
    for (const section of document.querySelectorAll('section[data-map]')) {
      linkAttention(section);
    }
    await redraw();
    // For scripts that drive the page.
    window.proteinLmCharts = charts;
    document.documentElement.dataset.ready = 'true';
  }
  start();
})();
