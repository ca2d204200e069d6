export type { Chart, Interaction, Look, MatrixImage, Row, VegaLiteSpec } from './chart.js';
export { type AttentionMap, type AttentionOverviewOptions, attentionOverviewChart } from './charts/attention.js';
export { type Bar, type BarChartOptions, barChart } from './charts/bars.js';
export { type ContactMapOptions, contactMapChart } from './charts/contacts.js';
export { type LandscapeOptions, landscapeChart, type VariantScore } from './charts/landscape.js';
export { type LineChartOptions, type LinePoint, lineChart } from './charts/lines.js';
export { type ResidueMatrixOptions, residueMatrixChart } from './charts/matrix.js';
export { type ScatterOptions, scatterChart } from './charts/scatter.js';
export { type SimilarityOptions, similarityChart } from './charts/similarity.js';
export { comparisonReport } from './comparison.js';
export type { Theme } from './look.js';
export { type Report, type ReportColumn, type ReportTable, reportCharts, reportToHtml, type Section } from './page.js';
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
export { runReport } from './runReport.js';
export { type TableReportOptions, tableReport } from './tableReport.js';
export { writeReport } from './write.js';
