export type { Chart, Look } from './chart.js';
export { type AttentionMap, attentionOverviewChart } from './charts/attention.js';
export { barChart } from './charts/bars.js';
export { contactMapChart } from './charts/contacts.js';
export { landscapeChart, type VariantScore } from './charts/landscape.js';
export { lineChart } from './charts/lines.js';
export { residueMatrixChart } from './charts/matrix.js';
export { scatterChart } from './charts/scatter.js';
export { similarityChart } from './charts/similarity.js';
export { comparisonReport } from './comparison.js';
export { type Report, type ReportTable, reportCharts, reportToHtml, type Section } from './page.js';
export { chartToPng, chartToSvg } from './render.js';
export {
  approximationChart,
  approximationReport,
  contactsReport,
  mapsReport,
  type ScoredProtein,
  type ScoredVariant,
  scoresReport,
  similarityReport,
  type TrainingLine,
  trainingReport,
} from './reports.js';
export { writeReport } from './write.js';
